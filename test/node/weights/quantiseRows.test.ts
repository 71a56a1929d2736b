/** Rows quantised by groups, against what they promise of every weight. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeRows } from '../../../src/weights/decodeRows.ts'
import { dequantiseRows, scalesOf } from '../../../src/weights/dequantise.ts'
import { encodeF16 } from '../../../src/weights/encodeF16.ts'
import { formatName, type PlainFormat, type WeightRows } from '../../../src/weights/format.ts'
import { type QuantisedTo, quantisedFormat, quantiseRows } from '../../../src/weights/quantise.ts'
import { seededRandom } from '../../helpers/random.ts'
import { halfValue, rowsWeight } from '../../helpers/weightReference.ts'

const LARGEST = { int8: 127, int4: 7 } as const
const ZERO = { int8: 128, int4: 8 } as const

function f32Rows(values: Float32Array, inputs: number): WeightRows {
  const bytes = new Uint8Array(values.byteLength + 1).subarray(1)
  bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
  return decodeRows({ kind: 'plain', dtype: 'f32' }, [bytes], values.length / inputs, inputs)
}

/** The integers q and the weights of rows so quantised. */
function quantised(rows: WeightRows, to: QuantisedTo) {
  const result = quantiseRows(rows, to)
  const weights = new Float32Array(rows.count * rows.inputs).fill(Number.NaN)
  dequantiseRows(result, weights)
  const q = Array.from(weights, (_, index) => {
    const code = to === 'int8' ? result.codes[index] : ((result.codes[index >> 1] ?? 0) >> (4 * (index & 1))) & 15
    return (code ?? Number.NaN) - ZERO[to]
  })
  return { result, weights, q }
}

/** One group of 32: the given values, then zeros. */
function group(...values: number[]): WeightRows {
  return f32Rows(
    Float32Array.from({ length: 32 }, (_, i) => values[i] ?? 0),
    32,
  )
}

describe.each(['int8', 'int4'] as const)('rows quantised to %s', (to) => {
  const largest = LARGEST[to]

  it('have the format that is given for their inputs, and none where groups do not divide them', () => {
    expect([0, 32, 96, 4096].map((inputs) => quantisedFormat(to, inputs)?.group)).toEqual([32, 32, 32, 32])
    expect([1, 16, 31, 33, 100].map((inputs) => quantisedFormat(to, inputs))).toEqual(Array(5).fill(undefined))
    const { result } = quantised(group(1), to)
    expect(result.format).toEqual(quantisedFormat(to, 32))
    expect(formatName(result.format)).toBe(to === 'int8' ? 'u8 g32 half 128' : 'u4 g32 half 8')
    expect(() => quantiseRows(f32Rows(new Float32Array(48), 48), to)).toThrow('invariant: ')
    expect(() => quantiseRows(result, to)).toThrow('invariant: ')
  })

  it.each(['f32', 'f16', 'bf16'] as const)(
    'of %s are within half a scale of every weight that is not clamped',
    (dtype) => {
      const shape = fc.record({
        seed: fc.nat(),
        count: fc.integer({ min: 1, max: 3 }),
        groups: fc.integer({ min: 1, max: 5 }),
        // down to where scales are subnormal in f16
        size: fc.integer({ min: -24, max: 8 }),
      })
      fc.assert(
        fc.property(shape, ({ seed, count, groups, size }) => {
          const random = seededRandom(seed)
          const inputs = 32 * groups
          const values = new Float32Array(count * inputs).map(() => 2 ** size * (2 * random() - 1) * random())
          const { rows, exact } = plain(values, dtype, inputs)
          const { result, weights, q } = quantised(rows, to)
          const wrong: unknown[] = []
          for (let first = 0; first < exact.length; first += 32) {
            const [row, at] = [Math.floor(first / inputs), (first % inputs) / 32]
            const magnitude = Math.max(...exact.subarray(first, first + 32).map(Math.abs))
            const { s } = scalesOf(result, row, at)
            if (s !== halfValue(encodeF16(magnitude / largest), 'f16')) wrong.push({ s, magnitude })
            // What f16 rounds down is cut off at the top.
            const clamped = Math.max(0, magnitude - largest * s)
            for (let i = first; i < first + 32; i++) {
              const error = Math.abs((exact[i] ?? 0) - (q[i] ?? 0) * s)
              if (Math.abs(q[i] ?? 99) > largest || error > Math.max((s / 2) * (1 + 1e-12), clamped))
                wrong.push({ i, error, s })
              if (weights[i] !== Math.fround((q[i] ?? 0) * s)) wrong.push({ i, weight: weights[i] })
              if (weights[i] !== Math.fround(rowsWeight(result, quantisedTo(to), row, i % inputs))) wrong.push(i)
            }
          }
          expect(wrong).toEqual([])
        }),
        { numRuns: 60 },
      )
    },
  )

  it('have the largest magnitude of a group at the end of the range, by either sign', () => {
    expect(quantised(group(-largest, largest, 1, 0), to).q.slice(0, 4)).toEqual([-largest, largest, 1, 0])
    expect(scalesOf(quantised(group(-largest), to).result, 0, 0).s).toBe(1)
    for (const value of [0.3, -0.3, 1e-3, -7e3]) {
      expect(quantised(group(0, value), to).q[1]).toBe(Math.sign(value) * largest)
    }
  })

  it('use the scale of each group alone, and leave the padding of an odd number of groups 0', () => {
    const values = new Float32Array(3 * 96).map((_, i) => (i % 32 === 0 ? 2 ** (Math.floor(i / 32) - 4) * largest : 0))
    const { result } = quantised(f32Rows(values, 96), to)
    const scales = [0, 1, 2].flatMap((row) => [0, 1, 2].map((at) => scalesOf(result, row, at).s))
    expect(scales).toEqual([-4, -3, -2, -1, 0, 1, 2, 3, 4].map((power) => 2 ** power))
    expect([1, 3, 5].map((word) => (result.scales[word] ?? 1) >>> 16)).toEqual([0, 0, 0])
  })

  it('of zeros, or of values too small for a scale, are zeros with scale 0', () => {
    for (const value of [0, -0, 1e-45, 2 ** -26, -(2 ** -26)]) {
      const { result, weights, q } = quantised(group(value, value), to)
      expect([result.scales[0], ...q]).toEqual(Array(33).fill(0))
      expect([...weights]).toEqual(Array(32).fill(0))
    }
  })

  it.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 3e38, -65_520 * LARGEST[to]])(
    'with %d in a group have only that group not a number, wherever it is',
    (bad) => {
      for (const at of [0, 5, 31, 32, 63]) {
        const values = new Float32Array(96).fill(1)
        values[at] = bad
        const { weights } = quantised(f32Rows(values, 96), to)
        const first = at - (at % 32)
        expect([...weights].map(Number.isNaN)).toEqual(
          Array.from({ length: 96 }, (_, i) => i >= first && i < first + 32),
        )
      }
    },
  )

  it('have a scale up to the largest that f16 has', () => {
    expect(quantised(group(65_504 * largest), to).weights[0]).toBe(65_504 * largest)
  })
})

function quantisedTo(to: QuantisedTo) {
  const format = quantisedFormat(to, 32)
  if (!format) throw new Error('32 inputs have a format')
  return format
}

/** Plain rows of the values, cut to the format, and what they are then. */
function plain(
  values: Float32Array,
  codes: PlainFormat['codes'],
  inputs: number,
): { rows: WeightRows; exact: Float32Array } {
  const count = values.length / inputs
  if (codes === 'f32') return { rows: f32Rows(values, inputs), exact: values }
  const words = new Uint32Array(values.buffer)
  const halves = Uint16Array.from(values, (value, i) => (codes === 'f16' ? encodeF16(value) : (words[i] ?? 0) >>> 16))
  const rows = { format: { codes }, inputs, count, codes: new Uint8Array(halves.buffer), scales: new Uint32Array(0) }
  return { rows, exact: Float32Array.from(halves, (half) => halfValue(half, codes)) }
}
