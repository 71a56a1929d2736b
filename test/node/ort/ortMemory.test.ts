/** The estimate of ONNX Runtime's memory against its memory. */

import { describe, expect, it } from 'vitest'
import type { ModelSpec } from '../../../src/models/modelSpec.ts'
import { loadDense } from '../../../src/ort/loadDense.ts'
import { embeddingBytes, type OrtSizes, ortBytes } from '../../../src/ort/ortMemory.ts'
import { randomRows, randomTensors, SMALL, streamOf } from '../../helpers/denseReference.ts'
import { nodeOrt } from '../../helpers/ort.ts'

const MIB = 2 ** 20

const LARGE: ModelSpec = {
  ...SMALL,
  hiddenSize: 256,
  intermediateSize: 1024,
  numLayers: 4,
  numHeads: 4,
  headDim: 64,
  vocabSize: 8000,
}

describe('the estimate', () => {
  // One model in this process, which decides how large the memory is.
  it('is no less than the memory of a loaded model after its largest step, and less than twice as much', async () => {
    const { createSession, heapBytes } = await nodeOrt()
    const tensors = randomTensors(LARGE, 1)
    const weights = streamOf(tensors, (name) => name.includes('embed_tokens'))
    const sizes = { rows: 512, sampled: 32, withDrafter: true }
    const estimate = ortBytes(LARGE, weights.tensors, sizes)
    const model = await loadDense({ spec: LARGE, weights, withDrafter: true, createSession })
    const x = randomRows(1, sizes.rows, LARGE.hiddenSize)
    const attention = randomRows(2, sizes.rows, LARGE.numHeads * LARGE.headDim)
    const sampled = Int32Array.from({ length: sizes.sampled }, (_, row) => row)
    await model.first(x)
    for (let layer = 0; layer < LARGE.numLayers - 1; layer++) await model.middle(layer, attention, x)
    await model.last(attention, x, sampled, true)
    await model.drafterInput(x, x)
    await model.drafterOutput(attention.subarray(0, 32 * 256), x.subarray(0, 32 * 256))
    expect(heapBytes()).toBeGreaterThan(32 * MIB)
    expect(estimate).toBeGreaterThanOrEqual(heapBytes())
    expect(estimate).toBeLessThan(2 * heapBytes())
    await model.release()
  })

  it('grows with rows, with the drafter, with the draft vocabulary, and with a head that comes last', () => {
    const plan = [...streamOf(randomTensors(LARGE, 1)).tensors]
    const [head, rest] = [true, false].map((isHead) => plan.filter(([name]) => (name === 'lm_head.weight') === isHead))
    const headFirst = new Map([...(head ?? []), ...(rest ?? [])])
    const headLast = new Map([...(rest ?? []), ...(head ?? [])])
    const bytes = (sizes: Partial<OrtSizes>, order = headFirst) =>
      ortBytes(LARGE, order, { rows: 64, sampled: 8, withDrafter: false, ...sizes })
    expect(bytes({ rows: 4096 })).toBeGreaterThan(bytes({}))
    expect(bytes({ sampled: 4096 })).toBeGreaterThan(bytes({}))
    expect(bytes({ withDrafter: true })).toBeGreaterThan(bytes({}))
    const reduced = (draftVocab: number) => bytes({ withDrafter: true, draftVocab })
    expect(reduced(4000) - reduced(2000)).toBeGreaterThan(2000 * LARGE.hiddenSize * 4)
    expect(bytes({}, headLast)).toBeGreaterThan(bytes({}, headFirst))
  })

  it('of the embedding matrix is its stored size', () => {
    const { tensors } = streamOf(randomTensors(SMALL, 1))
    expect(tensors.get('model.embed_tokens.weight')?.dtype).toBe('BF16')
    expect(embeddingBytes(SMALL, tensors)).toBe(37 * 20 * 2)
  })
})
