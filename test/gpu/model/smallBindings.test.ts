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
  { prompt: [...randomInts(1, 21, 512)], maxTokens: 12 },
  { prompt: [...randomInts(2, 9, 512)], maxTokens: 12, sampling: { temperature: 1, topK: 40, topP: 0.9, seed: 3 } },
  { prompt: [511, 0, 31, 32, 63, 64], maxTokens: 8 },
]

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

const draftVocab = Array.from({ length: 100 }, (_, i) => 5 * i)

test.each([
  ['drafts', 'qwen3-mtp', { drafts: 2 }, 2 * 32 * 64 * 2],
  ['drafts from some of the vocabulary', 'qwen3-mtp', { drafts: 2, draftVocab }, 32 * 64 * 2],
  ['biases and drafts', 'mimo', { drafts: 2 }, 3 * 32 * 128 * 2],
] as const)('%s of %s', async (_, model, overrides, bindingBytes) => {
  const whole = await run(model, overrides)
  const split = await run(model, overrides, bindingBytes)
  for (const name of ['embed', 'head', 'draft0.head', 'layer0.qkv', 'mtp.block.qkv', 'layer1.gate']) {
    expect(parts(split.labels, name), name).toBeGreaterThan(1)
  }
  expect(parts(whole.labels, 'layer0.qkv')).toBe(1)
  expect(whole.labels).toContain('layer1.gateUp')
  expect(split.labels).not.toContain('layer1.gateUp')
  expect(expectSame(split.ends, whole.ends)).toBeGreaterThan(5)
})
