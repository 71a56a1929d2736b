import { describe, expect, it } from 'vitest'
import { SteadyMean } from '../../../../src/core/speculation/steadyMean.ts'
import { Random } from '../../../bench/simulator/random.ts'

const SETUP = { values: 16, batches: 8, largest: 7, range: 1, surprise: 4 }

/** Adds as many trials, one by one. */
function add(mean: SteadyMean, trials: number, chance: number, luck: Random): void {
  for (let i = 0; i < trials; i++) mean.add(1, luck.fraction() < chance ? 1 : 0, 0)
}

describe('a steady mean', () => {
  it('remembers thousands of values that stay the same, whatever their rate', () => {
    for (let seed = 0; seed < 20; seed++) {
      for (const chance of [0, 0.1, 0.5, 0.9, 1]) {
        const mean = new SteadyMean(SETUP)
        add(mean, 3000, chance, new Random(seed, 1))
        expect(mean.count).toBe(3000)
        expect(Math.abs(mean.mean - chance)).toBeLessThan(0.05)
      }
    }
  })

  it('forgets what lies before a great change within 64 values, and before a small one within a thousand', () => {
    for (let seed = 0; seed < 20; seed++) {
      for (const [before, after, within] of [
        [0.9, 0.1, 64],
        [0.1, 0.9, 64],
        [0.8, 0.6, 1000],
      ] as const) {
        const luck = new Random(seed, 2)
        const mean = new SteadyMean(SETUP)
        add(mean, 2000, before, luck)
        add(mean, within, after, luck)
        expect(mean.count).toBeLessThan(1.5 * within)
        expect(Math.abs(mean.mean - after)).toBeLessThan(0.2)
      }
    }
  })

  it('has the mean and the variance of what it remembers, however it came', () => {
    const luck = new Random(5, 3)
    const mean = new SteadyMean({ ...SETUP, surprise: 100 })
    const values: number[] = []
    for (let i = 0; i < 500; i++) {
      const some = Array.from({ length: 1 + luck.integer(5) }, () => luck.fraction())
      values.push(...some)
      const own = some.reduce((sum, value) => sum + value, 0) / some.length
      mean.add(
        some.length,
        own,
        some.reduce((sum, value) => sum + (value - own) ** 2, 0),
      )
    }
    const expected = values.reduce((sum, value) => sum + value, 0) / values.length
    const scatter = values.reduce((sum, value) => sum + (value - expected) ** 2, 0)
    expect(mean.count).toBe(values.length)
    expect(mean.mean).toBeCloseTo(expected, 10)
    expect(mean.variance).toBeCloseTo(scatter / values.length ** 2, 10)
  })

  it('forgets its oldest values when there are too many, and everything when it is told to', () => {
    const mean = new SteadyMean({ ...SETUP, largest: 2 })
    add(mean, 5000, 0.5, new Random(1, 4))
    expect(mean.count).toBeLessThan(500)
    mean.clear()
    expect(mean.count).toBe(0)
  })
})
