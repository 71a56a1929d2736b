/** A device that binds so little that most matrices are in several parts gives the bits of one that binds them whole. */

import { expect, test } from 'vitest'
import { createGpuRunner } from '../../../src/runner/createGpuRunner.ts'
import { SERIAL_KERNELS } from '../../../src/runner/kernelSet.ts'
import { expectSame } from '../../helpers/answers.ts'
import type { ModelName } from '../../helpers/folderFetch.ts'
import { sharedGpu } from '../../helpers/gpuDevice.ts'
import { gpuParts } from '../../helpers/gpuEngine.ts'
import { randomInts } from '../../helpers/kernelHarness.ts'
import { type EngineOverrides, withEngine } from '../../helpers/testEngine.ts'

const SIZES = { maxNumBatchedTokens: 16, maxNumSeqs: 3, maxModelLen: 64, kvCacheTokens: 256 }

/** Greedy and sampled, in chunks, with ids of the whole vocabulary. */
const REQUESTS = [
  { prompt: [...randomInts(1, 21, 512)], maxTokens: 9 },
  { prompt: [...randomInts(2, 9, 512)], maxTokens: 9, sampling: { temperature: 1, topK: 40, topP: 0.9, seed: 3 } },
  { prompt: [511, 0, 31, 32, 63, 64], maxTokens: 8 },
]

/** Matrix products of the drafter. */
const DRAFTER = ['draft0.head', 'mtp.block.qkv', 'mtp.fc']

/** Runs the requests on a device that binds so much. @returns their ends, and the program's matrix products */
function run(model: ModelName, overrides: EngineOverrides, bindingBytes?: number) {
  return withEngine(
    model,
    { ...SIZES, ...overrides },
    async (engine) => {
      expect(engine.runner.allocatedBytes).toBe(gpuParts(engine).plannedBytes)
      const labels = gpuParts(engine).program.flatMap(({ dispatches }) => dispatches.map(({ label }) => label))
      return { ends: await engine.run(REQUESTS), labels }
    },
    async (from) => createGpuRunner({ ...from, gpu: await sharedGpu(), kernels: SERIAL_KERNELS, bindingBytes }),
  )
}

/** How many ops a matrix product or an embedding is. */
function parts(labels: readonly string[], name: string): number {
  return labels.filter(
    (label) => label === name || (label.startsWith(`${name}.`) && /^\d+$/.test(label.slice(name.length + 1))),
  ).length
}

const draftVocab = Array.from({ length: 300 }, (_, i) => 2 * i)

test.each([
  ['biases, drafts and a draft vocabulary', 'mimo', { drafts: 1, draftVocab }, 7 * 32 * 128 * 2],
  ['quantised weights', 'qwen3-mtp', { quantization: 'int8' }, 3 * 32 * 64],
] as const)('%s: %s', async (_, model, overrides, bindingBytes) => {
  const whole = await run(model, overrides)
  const split = await run(model, overrides, bindingBytes)
  for (const name of ['embed', 'head', 'layer0.qkv', 'layer1.gate', ...('drafts' in overrides ? DRAFTER : [])]) {
    expect(parts(split.labels, name), name).toBeGreaterThan(1)
  }
  expect(parts(whole.labels, 'layer0.qkv')).toBe(1)
  expect(whole.labels).toContain('layer1.gateUp')
  expect(split.labels).not.toContain('layer1.gateUp')
  const compared = expectSame(split.ends, whole.ends)
  if ('drafts' in overrides) expect(compared).toBeGreaterThan(5)
})
