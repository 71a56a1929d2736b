/** What a simulation is made of: drawn lengths and gaps, costs of steps, quantiles. */

import { describe, expect, it } from 'vitest'
import { parseArguments } from '../bench/simulator/arguments.ts'
import { type StepCost, stepMilliseconds } from '../bench/simulator/costModel.ts'
import { drawGap, drawLength, type LengthDistribution } from '../bench/simulator/distributions.ts'
import { quantiles } from '../bench/simulator/figures.ts'
import { Random } from '../bench/simulator/random.ts'
import { buildTrace } from '../bench/simulator/workload.ts'

const DRAWS = 20_000

/** Sorted draws. */
function draws(draw: (random: Random) => number): number[] {
  const random = new Random(5, 1)
  return Array.from({ length: DRAWS }, () => draw(random)).sort((a, b) => a - b)
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

describe('distributions', () => {
  it('have the lengths they are asked for', () => {
    const lengths = (distribution: LengthDistribution) => draws((random) => drawLength(distribution, random))
    expect(new Set(lengths({ kind: 'fixed', tokens: 7 }))).toEqual(new Set([7]))

    const uniform = lengths({ kind: 'uniform', least: 10, most: 20 })
    expect([uniform[0], uniform.at(-1)]).toEqual([10, 20])
    expect(mean(uniform)).toBeCloseTo(15, 0)

    const lognormal = lengths({ kind: 'lognormal', median: 200, sigma: 0.6 })
    const at = (part: number) => lognormal[Math.round(part * DRAWS)] ?? 0
    expect(Math.abs(at(0.5) / 200 - 1)).toBeLessThan(0.02)
    // A standard deviation above and below the median.
    expect(Math.abs(at(0.84134) / (200 * Math.exp(0.6)) - 1)).toBeLessThan(0.03)
    expect(Math.abs(at(0.15866) / (200 * Math.exp(-0.6)) - 1)).toBeLessThan(0.03)
    expect(Math.abs(mean(lognormal) / (200 * Math.exp(0.18)) - 1)).toBeLessThan(0.03)
  })

  it('have the gaps they are asked for', () => {
    const poisson = draws((random) => drawGap({ kind: 'poisson', perSecond: 8 }, random))
    expect(Math.abs(mean(poisson) / 125 - 1)).toBeLessThan(0.03)
    expect(Math.abs((poisson[DRAWS / 2] ?? 0) / (125 * Math.LN2) - 1)).toBeLessThan(0.03)
    expect(new Set(draws((random) => drawGap({ kind: 'uniform', perSecond: 8 }, random)))).toEqual(new Set([125]))
  })

  it('are cut to what a request may have', () => {
    const { workload } = parseArguments(
      '--prompt lognormal:500,2 --output fixed:900 --shared-prefix 0.5:100'.split(' '),
    )
    const trace = buildTrace(workload, 600, 3)
    for (const { promptTokenIds, maxTokens } of trace) {
      expect(promptTokenIds.length).toBeGreaterThan(0)
      expect(maxTokens).toBeGreaterThan(0)
      expect(promptTokenIds.length + maxTokens).toBeLessThanOrEqual(600)
    }
    expect(trace.some(({ promptTokenIds }) => promptTokenIds.length === 599)).toBe(true)
    const openings = new Map<string, number>()
    for (const { promptTokenIds } of trace) {
      const opening = promptTokenIds.slice(0, 100).join()
      openings.set(opening, (openings.get(opening) ?? 0) + 1)
    }
    const shared = [...openings.values()].filter((count) => count > 1)
    expect(shared.length).toBe(4)
    expect(Math.abs(shared.reduce((sum, count) => sum + count) / trace.length - 0.5)).toBeLessThan(0.1)
  })
})

describe('costs and quantiles', () => {
  it('follow their models', () => {
    const cost = (rows: StepCost['rows'], count: number, passes = 0, kvPassRows = 0) =>
      stepMilliseconds({ rows, perDraftPass: 2, perKvPassRow: 0.25 }, count, passes, kvPassRows)
    expect(cost({ kind: 'flat', perStep: 5 }, 100)).toBe(5)
    expect(cost({ kind: 'linear', base: 5, perRow: 0.5 }, 100, 3)).toBe(61)
    expect(cost({ kind: 'linear', base: 5, perRow: 0.5 }, 100, 3, 8)).toBe(63)
    const stepped = { kind: 'stepped', base: 1, rows: 32, perStep: 4 } as const
    expect([1, 32, 33].map((rows) => cost(stepped, rows))).toEqual([5, 5, 9])
  })

  it('take the nearest rank', () => {
    expect(quantiles([])).toBeUndefined()
    expect(quantiles([3])).toEqual({ p50: 3, p95: 3, p99: 3, max: 3 })
    const hundred = Array.from({ length: 100 }, (_, i) => 100 - i)
    expect(quantiles(hundred)).toEqual({ p50: 50, p95: 95, p99: 99, max: 100 })
  })
})
