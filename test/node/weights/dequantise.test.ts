/** Every format of the engine, with random codes and scales, against its definition one element at a time. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { dequantiseRows, scalesOf } from '../../../src/weights/dequantise.ts'
import { emptyRows, formatName, type QuantisedFormat, type WeightRows } from '../../../src/weights/format.ts'
import { seededRandom } from '../../helpers/random.ts'
import { rowsWeight } from '../../helpers/weightReference.ts'

const SCALES: readonly QuantisedFormat['scales'][] = [
  ...[0, 8, 16, 128].map((zero) => ({ kind: 'half', zero }) as const),
  { kind: 'offset', halves: 'f16' },
  { kind: 'offset', halves: 'bf16' },
  { kind: 'zeroPoint' },
  { kind: 'super' },
]

const FORMATS: readonly QuantisedFormat[] = SCALES.flatMap((scales) =>
  (['u4', 'u8'] as const).flatMap((codes) =>
    (scales.kind === 'super' ? ([16, 32] as const) : ([16, 32, 64, 128] as const)).map((group) => ({
      codes,
      group,
      scales,
    })),
  ),
)

/** The largest code that files have. */
function largestCode({ codes, scales }: QuantisedFormat): number {
  if (codes === 'u4') return 15
  return scales.kind === 'super' ? 63 : 255
}

/** Random rows with finite scales, of what files may have. */
function randomRows(format: QuantisedFormat, inputs: number, count: number, seed: number): WeightRows {
  const random = seededRandom(seed)
  const rows = emptyRows(format, inputs, count)
  const codes = format.codes === 'u4' ? 255 : largestCode(format)
  for (let i = 0; i < rows.codes.length; i++) rows.codes[i] = Math.floor(256 * random()) & codes
  const isBf16 = format.scales.kind === 'offset' && format.scales.halves === 'bf16'
  const finite = isBf16 ? 0xff7fff7f : 0xfbfffbff
  for (let i = 0; i < rows.scales.length; i++) {
    const isBytes = format.scales.kind === 'super' && i % 5 !== 0
    const mask = format.group === 16 ? -1 : 0x3f3f3f3f
    rows.scales[i] = Math.floor(2 ** 32 * random()) & (isBytes ? mask : finite)
    if (format.scales.kind !== 'zeroPoint') continue
    const zero = new Uint16Array([0, 0x3c00, 0x4800, 0x4b80, 0x4c00]) // 0, 1, 8, 15, 16
    rows.scales[i] = ((rows.scales[i] ?? 0) & 0xffff) | ((zero[Math.floor(5 * random())] ?? 0) << 16)
  }
  return rows
}

describe('dequantised rows', () => {
  it.each(FORMATS.map((format) => [formatName(format), format] as const))(
    'of %s are code · s + m, rounded once; s, m and code · s are exact in f32',
    (_, format) => {
      const unit = format.scales.kind === 'super' ? 256 : format.group
      const shape = fc.record({
        seed: fc.nat(),
        count: fc.integer({ min: 1, max: 3 }),
        units: fc.integer({ min: 1, max: unit === 256 ? 2 : 5 }),
        first: fc.nat({ max: 2 }),
      })
      fc.assert(
        fc.property(shape, ({ seed, count, units, first }) => {
          const inputs = unit * units
          const rows = randomRows(format, inputs, count, seed)
          const out = new Float32Array(first + count * inputs + 1).fill(-77)
          dequantiseRows(rows, out, first)
          expect([...out.subarray(0, first), out.at(-1)].every((value) => value === -77)).toBe(true)
          const wrong: unknown[] = []
          for (let row = 0; row < count; row++) {
            for (let k = 0; k < inputs; k++) {
              const expected = Math.fround(rowsWeight(rows, format, row, k))
              const weight = out[first + row * inputs + k]
              if (weight !== expected) wrong.push({ row, k, weight, expected })
            }
            for (let group = 0; group < inputs / format.group; group++) {
              const { s, m } = scalesOf(rows, row, group)
              const exact = [s, m, s * largestCode(format)]
              for (const value of exact) if (isFinite32(value) && Math.fround(value) !== value) wrong.push({ s, m })
            }
          }
          expect(wrong).toEqual([])
        }),
        { numRuns: 15 },
      )
    },
  )

  it('that do not fit are refused before anything is written', () => {
    const out = new Float32Array(64).fill(-1)
    const rows = emptyRows({ codes: 'u4', group: 32, scales: { kind: 'half', zero: 8 } }, 32, 2)
    expect(() => dequantiseRows(rows, out, 1)).toThrow(RangeError)
    expect(() => dequantiseRows(emptyRows({ codes: 'f16' }, 65, 1), out)).toThrow(RangeError)
    expect([...out].every((value) => value === -1)).toBe(true)
  })
})

/** Whether f32 has a place for it at all: a bf16 scale may be so large that its product with a code is not. */
function isFinite32(value: number): boolean {
  return Number.isFinite(Math.fround(value))
}
