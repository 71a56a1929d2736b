/** Memory and defaults of the processor, by formula. */

import { describe, expect, it } from 'vitest'
import type { TensorHeaders } from '../../src/backend/backend.ts'
import { openModel } from '../../src/loader/source.ts'
import type { ModelSpec } from '../../src/models/modelSpec.ts'
import { parseModelSpec } from '../../src/models/readConfig.ts'
import { weightPlan } from '../../src/models/weightNames.ts'
import { ortDefaults, ortPlan } from '../../src/ort/ortPlan.ts'
import { errorOf } from '../helpers/connect.ts'
import { folderFetch, MODELS, type ModelName } from '../helpers/folderFetch.ts'
import { engineOptions } from '../helpers/testEngine.ts'

async function open(model: ModelName) {
  const files = await openModel(MODELS[model], { fetch: folderFetch })
  return { spec: parseModelSpec(files.config, files.generationConfig), tensors: files.weights.tensors }
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

  it('refuses weights beyond 4 GiB before they are fetched, saying what else to do', async () => {
    // As Qwen3-8B and Qwen3-1.7B are.
    const sizes = { vocabSize: 151_936, numHeads: 32, numKvHeads: 8, headDim: 128 }
    const refused = (spec: ModelSpec, quantization: 'none' | 'w8a8') =>
      errorOf(Promise.resolve().then(() => ortPlan(spec, engineOptions({}), headersOf(spec), quantization)))
    const { spec } = await open('fairy-tales')
    const layers = (numLayers: number) => Array(numLayers).fill(spec.layers[0])
    const large = {
      ...spec,
      ...sizes,
      ...{ hiddenSize: 4096, intermediateSize: 12_288, numLayers: 36, layers: layers(36) },
    }
    const error = await refused(large, 'none')
    expect(error).toMatchObject({ code: 'LIMIT_EXCEEDED', details: { limit: 2 ** 32 } })
    expect(Number(error.details.bytes)).toBeGreaterThan(28 * 2 ** 30)
    expect(error.message).toMatch(/quantization to 'w8a8'.*smaller model.*backend to 'webgpu'/)
    const quantised = await refused(large, 'w8a8')
    expect(quantised.code).toBe('LIMIT_EXCEEDED')
    expect(quantised.message).not.toContain('w8a8')

    const middle = {
      ...large,
      hiddenSize: 2048,
      intermediateSize: 6144,
      numHeads: 16,
      numLayers: 28,
      layers: layers(28),
    }
    expect((await refused(middle, 'none')).code).toBe('LIMIT_EXCEEDED')
    expect(ortPlan(middle, engineOptions({}), headersOf(middle), 'w8a8').weightBytes).toBeLessThan(2 ** 32)
  })

  it('refuses a KV cache beyond 4 GiB', async () => {
    const { spec, tensors } = await open('qwen3-mtp')
    const options = engineOptions({ kvCacheTokens: 2 ** 26 })
    const refused = await errorOf(Promise.resolve().then(() => ortPlan(spec, options, tensors, 'none')))
    expect(refused).toMatchObject({ code: 'LIMIT_EXCEEDED', message: expect.stringContaining('lower kvCacheTokens') })
  })
})

/** The header of a file of bf16. */
function headersOf(spec: ModelSpec): TensorHeaders {
  return new Map(weightPlan(spec).map(({ name, shape }) => [name, { dtype: 'BF16', shape }]))
}
