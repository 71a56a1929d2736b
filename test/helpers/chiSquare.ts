/** Counts against what was expected of them. */

import { expect } from 'vitest'

/** How often each of `cells` values occurs. */
export function count(values: Iterable<number>, cells: number): Float64Array {
  const counts = new Float64Array(cells)
  for (const value of values) counts[value] = (counts[value] ?? Number.NaN) + 1
  return counts
}

/** Pearson's statistic, in standard deviations above its mean (Wilson and Hilferty's cube root). Empty cells must be empty. */
export function chiSquareDeviation(observed: Float64Array, expected: Float64Array): number {
  let [statistic, freedom] = [0, -1]
  observed.forEach((n, i) => {
    const e = expected[i] ?? 0
    if (e === 0) {
      expect(n, `cell ${i} is never drawn`).toBe(0)
      return
    }
    statistic += (n - e) ** 2 / e
    freedom++
  })
  if (freedom === 0) return 0
  const spread = 2 / (9 * freedom)
  return (Math.cbrt(statistic / freedom) - (1 - spread)) / Math.sqrt(spread)
}
