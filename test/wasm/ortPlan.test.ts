/** Memory and defaults of the processor, by formula. */

import { describe, expect, it } from 'vitest'
import type { ModelSpec } from '../../src/models/modelSpec.ts'
import { weightPlan } from '../../src/models/weightNames.ts'
import { ortDefaults, ortPlan } from '../../src/ort/ortPlan.ts'
import type { Quantization } from '../../src/protocol/engineOptions.ts'
import { sum } from '../../src/util/math.ts'
import { errorOf } from '../helpers/connect.ts'
import type { ModelName } from '../helpers/folderFetch.ts'
import { openTestModel } from '../helpers/openTestModel.ts'
import { engineOptions } from '../helpers/testEngine.ts'
import { BF16 } from '../helpers/weightFormats.ts'

async function open(model: ModelName) {
  const { spec, weights } = await openTestModel(model)
  return { spec, tensors: weights.tensors }
}

/** Of the sizes of Llama-3.1-8B. */
async function large(changes: Partial<ModelSpec> = {}) {
  const { spec } = await open('llama')
  const sizes = { hiddenSize: 4096, intermediateSize: 14_336, numHeads: 32, numKvHeads: 8, headDim: 128 }
  const model: ModelSpec = { ...spec, ...sizes, numLayers: 32, vocabSize: 128_256, tiedEmbeddings: false, ...changes }
  const layers = Array.from(
    { length: model.numLayers },
    () => ({ cache: 'paged', window: undefined, rope: 0 }) as const,
  )
  const whole: ModelSpec = { ...model, layers }
  return { spec: whole, tensors: weightPlan(whole).map((tensor) => ({ ...tensor, format: BF16 })) }
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

  it('refuses weights that need more than 4 GiB, says how many bytes they need, and what to do', async () => {
    const options = engineOptions({})
    const refusal = async (model: ReturnType<typeof large>, quantization: Quantization) => {
      const { spec, tensors } = await model
      return errorOf(Promise.resolve().then(() => ortPlan(spec, options, tensors, quantization)))
    }
    const bytesOf = async (model: ReturnType<typeof large>, each: number) =>
      each * sum((await model).tensors.slice(1).map(({ shape }) => shape.reduce((all, size) => all * size, 1)))

    // 1.5 billion weights beside the embedding matrix.
    const layers = large({ numLayers: 4 })
    const tooMany = await refusal(layers, 'int4')
    expect(tooMany.code).toBe('LIMIT_EXCEEDED')
    expect(tooMany.message).toMatch(/need \d+ bytes .* 4 GiB \(4294967296\).* f32/)
    expect(tooMany.message).toMatch(
      /quantization to 'w8a8', with which they need \d+, .*smaller model.* backend to 'webgpu'/,
    )
    expect(tooMany.details.limit).toBe(2 ** 32)
    expect(tooMany.details.bytes).toBeGreaterThan(await bytesOf(layers, 4))
    expect(tooMany.details.bytes).toBeLessThan(1.3 * (await bytesOf(layers, 4)))
    const { spec, tensors } = await layers
    expect(ortPlan(spec, options, tensors, 'w8a8').weightBytes).toBeLessThan(2 ** 32)

    // What is too large as 8-bit integers too.
    for (const quantization of ['none', 'w8a8'] as const) {
      const { code, message } = await refusal(large(), quantization)
      expect(code).toBe('LIMIT_EXCEEDED')
      expect(message).toMatch(/: take a smaller model, or set backend to 'webgpu'/)
    }
  })

  it('takes what just fits', async () => {
    const sizes = { hiddenSize: 2048, intermediateSize: 8192, headDim: 64, vocabSize: 32_000 }
    const { spec, tensors } = await large({ ...sizes, numLayers: 15 })
    const { buffers } = ortPlan(spec, engineOptions({}), tensors, 'none')
    expect(buffers.find(({ name }) => name === 'onnxruntime')?.bytes).toBeGreaterThan(0.95 * 2 ** 32)
  })
})
