/** The table of a rotation: each angle's cosine and sine in float64, times a factor of its position, rounded once. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { queryFactor } from '../../src/models/rope.ts'
import { ropeTable } from '../../src/util/ropeTable.ts'

describe('a table', () => {
  const frequency = fc.double({ min: 0, max: 1, noNaN: true })
  const sizes = fc.tuple(fc.array(frequency, { maxLength: 9 }), fc.nat(40), fc.infiniteStream(frequency))

  it('is [position][pair][cosine, sine], each times the factor of its position and rounded once', () => {
    fc.assert(
      fc.property(sizes, ([frequencies, positions, factors]) => {
        const factorAt = Array.from({ length: positions }, () => 4 * factors.next().value)
        const table = ropeTable(frequencies, positions, (position) => factorAt[position] ?? Number.NaN)
        const expected = factorAt.flatMap((factor, position) =>
          frequencies.flatMap((each) => [Math.cos(position * each) * factor, Math.sin(position * each) * factor]),
        )
        expect([...table]).toEqual(expected.map(Math.fround))
      }),
    )
  })

  it('has the factor 1 if none is given', () => {
    const frequencies = [1, 0.1]
    expect(ropeTable(frequencies, 50)).toEqual(ropeTable(frequencies, 50, () => 1))
    expect(ropeTable(frequencies, 50)).not.toEqual(ropeTable(frequencies, 50, () => 2))
  })
})

describe('the factor of queries', () => {
  const scaled = { queryScaling: { beta: 0.5, originalPositions: 100 } }

  it('is 1 without scaling, and within the positions of the training', () => {
    for (const position of [0, 1, 99, 1e6]) expect(queryFactor({ queryScaling: undefined }, position)).toBe(1)
    for (const position of [0, 1, 99]) expect(queryFactor(scaled, position)).toBe(1)
  })

  it('rises with the logarithm of how often these fit, and is the same until they fit once more', () => {
    expect(queryFactor(scaled, 100)).toBe(1 + 0.5 * Math.log(2))
    expect(queryFactor(scaled, 199)).toBe(1 + 0.5 * Math.log(2))
    expect(queryFactor(scaled, 200)).toBe(1 + 0.5 * Math.log(3))
    expect(queryFactor(scaled, 1050)).toBe(1 + 0.5 * Math.log(11))
  })
})
