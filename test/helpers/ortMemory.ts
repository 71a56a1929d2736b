/** ONNX Runtime's memory with a model that decides how large it is: once in a process, since the memory never shrinks. */

import type { ModelSpec } from '../../src/models/modelSpec.ts'
import { loadDense } from '../../src/ort/loadDense.ts'
import { ortBytes } from '../../src/ort/ortMemory.ts'
import type { Quantization } from '../../src/protocol/engineOptions.ts'
import { randomRows, SMALL } from './denseReference.ts'
import { weightsOf } from './memoryWeights.ts'
import { nodeOrt } from './ort.ts'
import { randomTensors } from './storedTensors.ts'

export const LARGE: ModelSpec = {
  ...SMALL,
  hiddenSize: 256,
  intermediateSize: 1024,
  numLayers: 4,
  numHeads: 4,
  headDim: 64,
  vocabSize: 8000,
}

/** Bytes after the model was loaded and has run its largest step. */
export async function memoryOfLarge(
  quantization: Quantization,
): Promise<{ readonly estimate: number; readonly measured: number }> {
  const { createSession, heapBytes } = await nodeOrt()
  const weights = weightsOf(randomTensors(LARGE, 1))
  const sizes = { rows: 512, sampled: 32, withDrafter: true, quantization }
  const estimate = ortBytes(LARGE, weights.tensors, sizes)
  const model = await loadDense({ spec: LARGE, weights, withDrafter: true, quantization, createSession })
  const x = randomRows(1, sizes.rows, LARGE.hiddenSize)
  const attention = randomRows(2, sizes.rows, LARGE.numHeads * LARGE.headDim)
  const sampled = Int32Array.from({ length: sizes.sampled }, (_, row) => row)
  await model.first(x)
  for (let layer = 0; layer < LARGE.numLayers - 1; layer++) await model.middle(layer, attention, x)
  await model.last(attention, x, sampled, true)
  await model.drafterInput(x, x)
  await model.drafterOutput(attention.subarray(0, 32 * 256), x.subarray(0, 32 * 256))
  await model.release()
  return { estimate, measured: heapBytes() }
}
