/** What callers pass where a number belongs: integers up to 2^53 and beyond, borders of words, fractions, and no numbers at all. */

import fc from 'fast-check'

const BORDERS = [8, 16, 24, 31, 32, 33, 53].flatMap((bits) => [2 ** bits - 1, 2 ** bits, 2 ** bits + 1])

export const anyValue: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: -4, max: 12 }) },
  { weight: 2, arbitrary: fc.maxSafeInteger() },
  { weight: 2, arbitrary: fc.constantFrom(...BORDERS, ...BORDERS.map((border) => -border)) },
  { weight: 2, arbitrary: fc.double({ min: -3, max: 3 }) },
  { weight: 2, arbitrary: fc.double() },
  { weight: 2, arbitrary: fc.constantFrom(-0, 1e-50, 1e-5, 9e-6, 5e-324, 0.01, 0.1, 100, 1000, 1e39, 1e300, 300) },
  { weight: 2, arbitrary: fc.constantFrom(null, undefined, true, false, Number.NaN, Number.POSITIVE_INFINITY) },
  { weight: 1, arbitrary: fc.oneof(fc.string(), fc.bigInt(), fc.constantFrom('5', '0', 'x'.repeat(129))) },
  { weight: 1, arbitrary: fc.oneof(fc.array(fc.anything(), { maxLength: 3 }), fc.object({ maxDepth: 1 })) },
  {
    weight: 1,
    arbitrary: fc.anything({ withMap: true, withSet: true, withTypedArray: true, withNullPrototype: true }),
  },
)
