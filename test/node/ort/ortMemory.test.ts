/** The estimate of ONNX Runtime's memory against its memory. */

import { describe, expect, it } from 'vitest'
import { embeddingBytes, type OrtSizes, ortBytes } from '../../../src/ort/ortMemory.ts'
import { randomTensors, SMALL, streamOf } from '../../helpers/denseReference.ts'
import { LARGE, memoryOfLarge } from '../../helpers/ortMemory.ts'

const MIB = 2 ** 20

describe('the estimate', () => {
  // One model in this process, which decides how large the memory is.
  it('is no less than the memory of a loaded model after its largest step, and less than twice as much', async () => {
    const { estimate, measured } = await memoryOfLarge('none')
    expect(measured).toBeGreaterThan(32 * MIB)
    expect(estimate).toBeGreaterThanOrEqual(measured)
    expect(estimate).toBeLessThan(2 * measured)
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
