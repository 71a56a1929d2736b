/** The self-check at load compares what it says it does: whole rows, of random keys and values. */

import { afterEach, expect, test, vi } from 'vitest'
import { WORKGROUP_KERNELS } from '../../../src/runner/kernelSet.ts'
import { TuningBench } from '../../../src/runner/tuningBench.ts'
import { withKernels } from '../../helpers/gpuEngine.ts'
import { withEngine } from '../../helpers/testEngine.ts'

afterEach(() => {
  vi.restoreAllMocks()
})

test.each(['f16', 'f32'] as const)('%s: every compared word is there and says something', async (kvCacheDtype) => {
  const read = vi.spyOn(TuningBench.prototype, 'read')
  // One request: the readback is shorter than a row, so that a row is read in pieces.
  const debug = { logits: 'off', steps: false, trace: false } as const
  const options = { maxNumSeqs: 1, maxModelLen: 1024, kvCacheTokens: 8192, drafts: 2, kvCacheDtype, debug }
  await withEngine(
    'fairy-tales',
    options,
    async ({ runner }) => expect(runner.batchInvariant).toBe(true),
    withKernels(WORKGROUP_KERNELS),
  )
  expect(read.mock.calls.map(([name]) => name)).toEqual([
    'attention',
    'attention',
    'residual',
    'residual',
    'residual',
    'residual',
  ])
  for (const [index, [name, words]] of read.mock.calls.entries()) {
    const compared = await (read.mock.results[index]?.value as Promise<Uint32Array>)
    expect(compared.length, name).toBe(words)
    expect(compared.filter((word) => word === 0).length, `zeros in ${name}`).toBe(0)
  }
})
