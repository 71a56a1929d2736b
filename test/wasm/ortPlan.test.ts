/** Memory and defaults of the processor, by formula. */

import { describe, expect, it } from 'vitest'
import type { ModelSpec } from '../../src/models/modelSpec.ts'
import { ortDefaults, ortPlan } from '../../src/ort/ortPlan.ts'
import type { ModelName } from '../helpers/folderFetch.ts'
import { openTestModel } from '../helpers/openTestModel.ts'
import { engineOptions } from '../helpers/testEngine.ts'

async function open(model: ModelName) {
  const { spec, weights } = await openTestModel(model)
  return { spec, tensors: weights.tensors }
}

describe('rows of a step', () => {
  it('take about 100 ms at 8 Gmac/s, from 16 to 256', async () => {
    const { spec } = await open('fairy-tales')
    expect(ortDefaults(spec)).toEqual({ maxNumBatchedTokens: 256, kvCacheDtype: 'f32' })
    // Qwen3-0.6B.
    const larger: ModelSpec = {
      ...spec,
      ...{ hiddenSize: 1024, intermediateSize: 3072, numLayers: 28, numHeads: 16, numKvHeads: 8, headDim: 128 },
      vocabSize: 151_936,
    }
    expect(ortDefaults(larger).maxNumBatchedTokens).toBe(16)
    // q and o 2 · 2048 columns, k and v 2 · 1024, the MLP 3 · 3072.
    const between: ModelSpec = { ...larger, numLayers: 1, vocabSize: 2048 }
    expect(ortDefaults(between).maxNumBatchedTokens).toBe(Math.floor(0.8e9 / (1024 * (6144 + 9216) + 1024 * 2048)))
  })
})

describe('the plan', () => {
  it('adds up, and grows with the option that each part is for', async () => {
    const { spec, tensors } = await open('qwen3-mtp')
    const plan = (given: Parameters<typeof engineOptions>[0]) => ortPlan(spec, engineOptions(given), tensors, 'none')
    const small = plan({})
    const { totalBytes, weightBytes, kvCacheBytes, workspaceBytes, buffers } = small
    expect(weightBytes + kvCacheBytes + workspaceBytes).toBe(totalBytes)
    expect(buffers.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(totalBytes)
    expect(new Set(buffers.map(({ name }) => name)).size).toBe(buffers.length)
    const keysAndValues = 2 * spec.numKvHeads * spec.headDim * 4
    expect(kvCacheBytes).toBe(spec.numLayers * 4096 * keysAndValues)
    expect(plan({ kvCacheTokens: 8192 }).kvCacheBytes).toBe(2 * kvCacheBytes)
    const drafting = plan({ drafts: 2 })
    expect(drafting.kvCacheBytes).toBe((spec.numLayers + 1) * 4096 * keysAndValues + 4096 * spec.hiddenSize * 4)
    expect(drafting.weightBytes).toBeGreaterThan(weightBytes)
    expect(plan({ maxNumBatchedTokens: 128 }).workspaceBytes).toBeGreaterThan(workspaceBytes)
  })

  it('refuses a KV cache that is not f32', async () => {
    const { spec, tensors } = await open('qwen3-mtp')
    expect(() => ortPlan(spec, engineOptions({ kvCacheDtype: 'f16' }), tensors, 'none')).toThrow(
      expect.objectContaining({
        code: 'INVALID_OPTION',
        message: expect.stringContaining("kvCacheDtype must be 'f32'"),
      }),
    )
  })

  it('refuses a KV cache beyond 4 GiB', async () => {
    const { spec, tensors } = await open('qwen3-mtp')
    expect(() => ortPlan(spec, engineOptions({ kvCacheTokens: 2 ** 26 }), tensors, 'none')).toThrow(
      expect.objectContaining({ code: 'LIMIT_EXCEEDED', message: expect.stringContaining('lower kvCacheTokens') }),
    )
  })
})
