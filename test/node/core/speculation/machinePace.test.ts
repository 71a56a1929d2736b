/** A machine that is slow for a while is told from drafts that cost more or less. */

import { describe, expect, it } from 'vitest'
import { DraftController } from '../../../../src/core/speculation/draftController.ts'
import { MachinePace } from '../../../../src/core/speculation/machinePace.ts'
import { TimeNoise, TimePoint } from '../../../../src/core/speculation/timePoint.ts'
import { Random } from '../../../bench/simulator/random.ts'
import { COSTS, fixedGoodputs, goodputOf, type Surroundings, simulateDrafts } from '../../../helpers/draftSimulator.ts'

const NOISE = 0.05

/** A size whose steps usually take so long. */
function pointOf(ms: number): TimePoint {
  const point = new TimePoint(1, ms, new TimeNoise())
  for (let i = 0; i < 16; i++) point.add(1, ms)
  return point
}

/** A pace, after steps without drafts and then steps with them took so many times as long as usual. */
function observed(bare: readonly number[], drafted: readonly number[] = []) {
  const pace = new MachinePace()
  const without = pointOf(10)
  const withDrafts = pointOf(14)
  for (const times of drafted) {
    pace.tick()
    pace.observeDrafted(withDrafts, 14 * times, NOISE)
  }
  for (const times of bare) {
    pace.tick()
    pace.observeBare(without, 10 * times, NOISE)
  }
  return { pace, without, withDrafts }
}

const times = (count: number, factor: number): number[] => Array.from({ length: count }, () => factor)

describe('the pace', () => {
  it('is the usual one while steps take as long as usual, give or take chance, and after few of others', () => {
    expect(observed(times(20, 1)).pace.factor).toBe(1)
    expect(observed(times(20, 1.03)).pace.factor).toBe(1)
    expect(observed(times(3, 2)).pace.factor).toBe(1)
  })

  it.each([0.5, 0.7, 1.4, 2])(
    'follows a spell of %f times the usual time within a few steps, and its end',
    (factor) => {
      expect(observed([...times(20, 1), ...times(6, factor)]).pace.factor).toBeCloseTo(factor, 1)
      expect(observed([...times(20, factor), ...times(6, 1)]).pace.factor).toBe(1)
    },
  )

  it('is not changed by strays', () => {
    expect(observed([...times(5, 1), 10, 10]).pace.factor).toBe(1)
    expect(observed([...times(20, 1.4), 10]).pace.factor).toBeCloseTo(1.4, 1)
  })

  it('is known anew a few steps after a pause', () => {
    const { pace, without } = observed(times(20, 2))
    expect([pace.settled, pace.factor > 1.9]).toEqual([true, true])
    pace.pause()
    expect(pace.settled).toBe(false)
    for (let i = 0; i < 4; i++) {
      pace.tick()
      pace.observeBare(without, 10, NOISE)
    }
    expect([pace.settled, pace.factor]).toEqual([true, 1])
  })

  it('is that of steps with drafts where those without agree', () => {
    const { pace, withDrafts } = observed(times(3, 2), times(8, 2))
    expect(pace.factor).toBeCloseTo(2, 1)
    expect(withDrafts.ms).toBeCloseTo(14, 10)
  })

  it('is that of steps without drafts where these are faster: then the others were known wrong, and no stray proves it', () => {
    const wrong = observed(times(3, 1), times(8, 2))
    expect(wrong.pace.comparable).toBe(false)
    expect(wrong.withDrafts.ms).toBeCloseTo(28, 10)
    const stray = observed([10, 10, 1], times(8, 1))
    expect(stray.withDrafts.ms).toBeCloseTo(14, 10)
    expect(stray.pace.factor).toBe(1)
  })
})

/** Steps of a machine that is slow in one spell and not in the next. */
function spells(seed: number, steps: number, slowness: number): (step: number) => number {
  const luck = new Random(seed, 7)
  const pace: number[] = []
  for (let slow = false; pace.length < steps; slow = !slow) {
    pace.push(...times(20 + luck.integer(100), slow ? slowness : 1))
  }
  return (step) => pace[step] ?? 1
}

const STEPS = 1400
const SEEDS = 20

/** The mean and the worst of some runs, as parts of the best fixed number of drafts. */
function reached(name: string, surroundings: Surroundings, slowness: number) {
  const costs = COSTS[name] ?? expect.fail(name)
  const best = Math.max(...fixedGoodputs(4, costs, surroundings))
  const parts: number[] = []
  for (let seed = 1; seed <= SEEDS; seed++) {
    const steps = simulateDrafts(new DraftController({ numSpeculativeTokens: 4, verifiedAtOnce: false }), {
      drafts: 4,
      costs,
      at: () => surroundings,
      steps: STEPS,
      seed,
      noise: 0.1,
      slowness: spells(seed, STEPS, slowness),
    })
    parts.push(goodputOf(steps) / best)
  }
  return { mean: parts.reduce((sum, part) => sum + part, 0) / SEEDS, worst: Math.min(...parts) }
}

describe('slow spells', () => {
  it.each(['steep', 'linear'])('are not taken for gains of drafts that lose, with %s costs', (name) => {
    for (const streams of [1, 4]) {
      for (const acceptance of name === 'steep' ? [0.2, 0.5, 0.8] : [0.2]) {
        const { mean, worst } = reached(name, { streams, acceptance: () => acceptance }, 1.4)
        expect(mean, `${streams} streams, ${acceptance}`).toBeGreaterThan(0.98)
        expect(worst, `${streams} streams, ${acceptance}`).toBeGreaterThan(0.9)
      }
    }
  })

  it.each(['flat', 'stepped'])('cost little where drafts pay, with %s costs', (name) => {
    for (const streams of [1, 4]) {
      for (const acceptance of [0.4, 0.6, 0.8]) {
        const { mean, worst } = reached(name, { streams, acceptance: () => acceptance }, 1.4)
        expect(mean, `${streams} streams, ${acceptance}`).toBeGreaterThan(0.98)
        expect(worst, `${streams} streams, ${acceptance}`).toBeGreaterThan(0.9)
      }
    }
  })
})
