/** Both sets of kernels run the whole model and give the same bits; chosen sets, partials and merges included. */

import { expect, test } from 'vitest'
import { type KernelSet, SERIAL_KERNELS, WORKGROUP_KERNELS } from '../../../src/runner/kernelSet.ts'
import { gpuParts, withKernels } from '../../helpers/gpuEngine.ts'
import { randomInts } from '../../helpers/kernelHarness.ts'
import { withEngine } from '../../helpers/testEngine.ts'

// Decoding past 256 keys, where the workgroup set leaves partials per split and merges them.
const REQUESTS = [
  { prompt: [...randomInts(3, 270, 512)], maxTokens: 12 },
  { prompt: [...randomInts(4, 250, 512)], maxTokens: 16, sampling: { temperature: 1, topK: 30, topP: 0.9, seed: 5 } },
  { prompt: [...randomInts(5, 9, 512)], maxTokens: 12 },
]
const OPTIONS = { maxNumBatchedTokens: 64, maxNumSeqs: 4, maxModelLen: 320, kvCacheTokens: 1280, drafts: 2 }

function answers(kernels: KernelSet) {
  return withEngine(
    'qwen3-mtp',
    OPTIONS,
    async (engine) => {
      expect(Object.values(engine.runner.kernels)).toEqual(Object.values(kernels).map(({ name }) => name))
      expect(engine.runner.batchInvariant).toBe(true)
      const partials = gpuParts(engine).geometry.maxParts > 0
      const ends = await engine.run(REQUESTS)
      return { partials, answers: ends.map((end) => ({ ids: end.tokenIds, debug: end.debug })) }
    },
    withKernels(kernels),
  )
}

test('workgroup and serial kernels: same ids, same drafts, same bits of the logits', async () => {
  const serial = await answers(SERIAL_KERNELS)
  const workgroup = await answers(WORKGROUP_KERNELS)
  expect(workgroup.answers).toEqual(serial.answers)
  expect(serial.partials).toBe(false)
  expect(workgroup.partials).toBe(true)
})
