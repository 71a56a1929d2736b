/** Rounding to f16, against a search for the nearest number. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeBf16, decodeF16 } from '../../../src/weights/decode.ts'
import { encodeF16 } from '../../../src/weights/encodeF16.ts'
import { halfValue } from '../../helpers/weightReference.ts'

const INFINITY = 0x7c00
/** Magnitudes by their bits; the next one after the largest stands for infinity. */
const MAGNITUDES = Array.from({ length: INFINITY + 1 }, (_, bits) =>
  bits === INFINITY ? 65_536 : halfValue(bits, 'f16'),
)

function nearest(value: number): number {
  if (Number.isNaN(value)) return 0x7e00
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0
  const magnitude = Math.abs(value)
  let [low, high] = [0, INFINITY]
  if (magnitude >= 65_536) return sign | INFINITY
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if ((MAGNITUDES[middle] ?? 0) <= magnitude) low = middle
    else high = middle
  }
  const tie = ((MAGNITUDES[low] ?? 0) + (MAGNITUDES[high] ?? 0)) / 2
  if (magnitude === tie) return sign | (low % 2 === 0 ? low : high)
  return sign | (magnitude < tie ? low : high)
}

const BITS = new DataView(new ArrayBuffer(8))

/** The f64 numbers beside a positive one. */
function beside(value: number): number[] {
  return [-1n, 1n].map((step) => {
    BITS.setFloat64(0, value)
    BITS.setBigUint64(0, BITS.getBigUint64(0) + step)
    return BITS.getFloat64(0)
  })
}

describe('f16', () => {
  it('is read by the value of each of its 65,536 patterns, and so is bf16', () => {
    const wrong: number[] = []
    for (let bits = 0; bits < 65_536; bits++) {
      if (!Object.is(decodeF16(bits), halfValue(bits, 'f16'))) wrong.push(bits)
      if (!Object.is(decodeBf16(bits), halfValue(bits, 'bf16'))) wrong.push(bits)
    }
    expect(wrong).toEqual([])
  })

  it('is written as the bits that it was read from', () => {
    const wrong: number[] = []
    for (let bits = 0; bits < 65_536; bits++) {
      const isNan = (bits & 0x7fff) > INFINITY
      if (encodeF16(decodeF16(bits)) !== (isNan ? 0x7e00 : bits)) wrong.push(bits)
    }
    expect(wrong).toEqual([])
  })

  it('rounds a number between two to even, and one beside that to the nearer', () => {
    const wrong: number[] = []
    for (let bits = 0; bits < INFINITY; bits++) {
      const tie = ((MAGNITUDES[bits] ?? 0) + (MAGNITUDES[bits + 1] ?? 0)) / 2
      const even = bits + (bits % 2)
      const [below = 0, above = 0] = beside(tie)
      const got = [tie, below, above, Math.fround(tie), -tie].map(encodeF16)
      if (got.join() !== [even, bits, bits + 1, even, even | 0x8000].join()) wrong.push(bits)
    }
    expect(wrong).toEqual([])
  })

  it('is the nearest of all numbers, subnormal, huge and not finite ones too', () => {
    const number = fc.oneof(
      fc.float(),
      fc.double(),
      fc.double({ min: -70_000, max: 70_000 }),
      fc.double({ min: -(2 ** -13), max: 2 ** -13 }),
    )
    fc.assert(
      fc.property(number, (value) => encodeF16(value) === nearest(value)),
      { numRuns: 20_000 },
    )
  })
})
