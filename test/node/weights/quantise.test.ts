/** Rows as 8-bit integers, against their definition. */

import { describe, expect, it } from 'vitest'
import { quantiseRow } from '../../../src/weights/quantise.ts'
import { seededRandom } from '../../helpers/kernelHarness.ts'

/** Between two markers that must stay. */
function quantised(values: readonly number[]): { scale: number; q: number[] } {
  const all = new Int8Array(values.length + 2).fill(-77)
  const scale = quantiseRow(Float32Array.from(values), all.subarray(1, -1))
  expect([all[0], all.at(-1)]).toEqual([-77, -77])
  return { scale, q: [...all.subarray(1, -1)] }
}

describe('a quantised row', () => {
  it.each([1, 2, 7, 64, 301])(
    'of %i random values is within half a scale of each, with the largest at 127',
    (length) => {
      const random = seededRandom(length)
      for (let round = 0; round < 50; round++) {
        const size = 10 ** (8 * random() - 4)
        const values = Array.from({ length }, () => Math.fround(size * (2 * random() - 1)))
        const { scale, q } = quantised(values)
        const largest = Math.max(...values.map(Math.abs))
        expect(scale).toBe(Math.fround(largest / 127))
        for (const [i, value] of values.entries()) {
          expect(Math.abs((q[i] ?? Number.NaN) - value / scale)).toBeLessThanOrEqual(0.5)
          if (Math.abs(value) === largest) expect(Math.abs(q[i] ?? 0)).toBe(127)
        }
      }
    },
  )

  it('has its extremes at -127 and 127, and never -128', () => {
    expect(quantised([-127, 127, -126, 0, 63.4])).toEqual({ scale: 1, q: [-127, 127, -126, 0, 63] })
    expect(quantised([-3.4028234663852886e38, 3.4028234663852886e38]).q).toEqual([-127, 127])
  })

  it('of zeros, or of values that have no scale in f32, is zeros with scale 0', () => {
    expect(quantised([0, -0, 0])).toEqual({ scale: 0, q: [0, 0, 0] })
    expect(quantised([1e-45, 0, -1e-45])).toEqual({ scale: 0, q: [0, 0, 0] })
  })

  it('of subnormal values stays in range', () => {
    const { scale, q } = quantised([2.8e-43, -2.8e-43, 1e-43])
    expect(scale).toBeGreaterThan(0)
    for (const value of q) expect(Math.abs(value)).toBeLessThanOrEqual(127)
  })

  it.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    'with %d in it has a scale that is not finite, wherever it is',
    (bad) => {
      for (let at = 0; at < 3; at++) {
        const { scale } = quantised([0, 1, 2].map((index) => (index === at ? bad : 3 - index)))
        expect(scale).not.toSatisfy(Number.isFinite)
      }
    },
  )
})
