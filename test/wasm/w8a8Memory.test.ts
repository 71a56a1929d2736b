/** Memory with 8-bit weights, in a process of its own: ONNX Runtime's memory never shrinks. */

import { expect, test } from 'vitest'
import type { ModelSpec } from '../../src/models/modelSpec.ts'
import { weightPlan } from '../../src/models/weightNames.ts'
import { ortPlan } from '../../src/ort/ortPlan.ts'
import { MODELS } from '../helpers/folderFetch.ts'
import { openTestModel } from '../helpers/openTestModel.ts'
import { connect, expectPlanned } from '../helpers/testBackend.ts'
import { engineOptions } from '../helpers/testEngine.ts'
import { BF16 } from '../helpers/weightFormats.ts'

test('the option is reported, and less memory is allocated: at least half of what the weights take as f32', async () => {
  const measured: number[] = []
  let parameters = 0
  for (const quantization of ['w8a8', 'none'] as const) {
    const llm = await connect(MODELS['fairy-tales'], { quantization, kvCacheTokens: 1024 })
    expect(llm.options).toMatchObject({ backend: 'wasm', quantization })
    parameters = llm.model.parameters
    const stats = await llm.stats()
    expectPlanned(stats)
    measured.push(stats.allocatedBytes)
    await llm.dispose()
  }
  const [w8a8 = 0, f32 = 0] = measured
  console.log(`fairy-tales: ${w8a8} bytes with w8a8, ${f32} with f32`)
  expect(f32 - w8a8).toBeGreaterThan((parameters * 4) / 2)
})

test('is none unless it is asked for', async () => {
  const llm = await connect(MODELS['qwen3-mtp'], { kvCacheTokens: 1024 })
  expect(llm.options.quantization).toBe('none')
  await llm.dispose()
})

test("a model of Qwen3-0.6B's size is planned with less than 0.3 times ONNX Runtime's memory, and the same beside it", async () => {
  const spec: ModelSpec = {
    ...(await openTestModel('fairy-tales')).spec,
    ...{ hiddenSize: 1024, intermediateSize: 3072, numLayers: 28, numHeads: 16, numKvHeads: 8, headDim: 128 },
    ...{ vocabSize: 151_936, mtp: undefined },
  }
  const tensors = weightPlan(spec).map((tensor) => ({ ...tensor, format: BF16 }))
  const options = engineOptions({ maxNumBatchedTokens: 16 })
  const plans = (['none', 'w8a8'] as const).map((quantization) => ortPlan(spec, options, tensors, quantization))
  const [f32, w8a8] = plans.map(({ buffers, ...rest }) => ({
    ...rest,
    ort: buffers.find(({ name }) => name === 'onnxruntime')?.bytes ?? Number.NaN,
  }))
  expect(f32?.ort).toBeGreaterThan(4 * 0.59e9)
  expect(w8a8?.ort).toBeLessThan(0.3 * (f32?.ort ?? 0))
  expect((f32?.weightBytes ?? 0) - (f32?.ort ?? 0)).toBe((w8a8?.weightBytes ?? 0) - (w8a8?.ort ?? 0))
  expect([w8a8?.kvCacheBytes, w8a8?.workspaceBytes]).toEqual([f32?.kvCacheBytes, f32?.workspaceBytes])
})
