/** The estimate of ONNX Runtime's memory against its memory. */

import { describe, expect, it } from 'vitest'
import { embeddingBytes, leastOrtBytes, type OrtSizes, ortBytes } from '../../../src/ort/ortMemory.ts'
import { sum } from '../../../src/util/math.ts'
import type { WeightFormat } from '../../../src/weights/format.ts'
import { SMALL } from '../../helpers/denseReference.ts'
import { weightsOf } from '../../helpers/memoryWeights.ts'
import { LARGE, memoryOfLarge } from '../../helpers/ortMemory.ts'
import { randomTensors } from '../../helpers/storedTensors.ts'
import { BF16, F32 } from '../../helpers/weightFormats.ts'

const MIB = 2 ** 20
const product = (sizes: readonly number[]) => sizes.reduce((all, size) => all * size, 1)

describe('the estimate', () => {
  // One model in this process, which decides how large the memory is.
  it('is no less than the memory of a loaded model after its largest step, and less than twice as much', async () => {
    const { estimate, measured } = await memoryOfLarge('none')
    expect(measured).toBeGreaterThan(32 * MIB)
    expect(estimate).toBeGreaterThanOrEqual(measured)
    expect(estimate).toBeLessThan(2 * measured)
  })

  it('grows with rows, with the drafter and with the draft vocabulary, whatever the order of the files', () => {
    const { tensors } = weightsOf(randomTensors(LARGE, 1))
    const bytes = (sizes: Partial<OrtSizes>, files = tensors) =>
      ortBytes(LARGE, files, { rows: 64, sampled: 8, withDrafter: false, ...sizes })
    expect(bytes({ rows: 4096 })).toBeGreaterThan(bytes({}))
    expect(bytes({ sampled: 4096 })).toBeGreaterThan(bytes({}))
    expect(bytes({ withDrafter: true })).toBeGreaterThan(bytes({}))
    const reduced = (draftVocab: number) => bytes({ withDrafter: true, draftVocab })
    expect(reduced(4000) - reduced(2000)).toBeGreaterThan(2000 * LARGE.hiddenSize * 4)
    const headLast = tensors.toSorted((a, b) => Number(a.role === 'lmHead') - Number(b.role === 'lmHead'))
    expect(bytes({}, headLast)).toBe(bytes({}))
  })

  it('is more than what weights alone need, and that is no less than their size as the sessions have them', () => {
    const { tensors } = weightsOf(randomTensors(LARGE, 1))
    const parameters = sum(tensors.filter(({ role }) => role !== 'embed').map(({ shape }) => product(shape)))
    for (const [quantization, bytes] of [
      ['none', 4],
      ['int4', 4],
      ['w8a8', 1],
    ] as const) {
      const sizes = { rows: 64, sampled: 8, withDrafter: true, quantization }
      const least = leastOrtBytes(LARGE, tensors, sizes)
      expect(least).toBeGreaterThan(bytes * parameters)
      expect(ortBytes(LARGE, tensors, sizes)).toBeGreaterThan(least)
    }
  })

  it('of the embedding matrix is its stored size, in its format', () => {
    const spec = { ...SMALL, hiddenSize: 64, intermediateSize: 64, numHeads: 4, headDim: 16 }
    const stored = (format: WeightFormat) =>
      embeddingBytes(spec, weightsOf(randomTensors(spec, 1, () => format)).tensors)
    expect(stored(BF16)).toBe(37 * 64 * 2)
    expect(stored(F32)).toBe(37 * 64 * 4)
    expect(stored({ codes: 'u4', group: 32, scales: { kind: 'offset', halves: 'f16' } })).toBe(37 * (32 + 2 * 4))
    expect(stored({ codes: 'u8', group: 16, scales: { kind: 'half', zero: 128 } })).toBe(37 * (64 + 4 * 2))
  })
})
