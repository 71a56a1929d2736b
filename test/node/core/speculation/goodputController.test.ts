/** How the number of drafts follows what is measured. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type DraftedStep, type DraftPolicy, fixedDrafts } from '../../../../src/core/speculation/draftPolicy.ts'
import { at } from '../../../../src/util/math.ts'
import { changes, controller, costsOf, DRAFTS, run } from '../../../helpers/draftRuns.ts'
import {
  COSTS,
  type DraftCosts,
  fixedGoodputs,
  goodputOf,
  type SimulatedStep,
  type Surroundings,
  simulateDrafts,
} from '../../../helpers/draftSimulator.ts'

const drafted = (steps: readonly SimulatedStep[]) => steps.filter(({ k }) => k > 0).length

/** Goodput of some steps, to that of the best fixed number of drafts there. */
function toBest(steps: readonly SimulatedStep[], costs: DraftCosts, surroundings: Surroundings): number {
  return goodputOf(steps) / Math.max(...fixedGoodputs(DRAFTS, costs, surroundings))
}

describe('the number of drafts', () => {
  it('is 0 in the first steps, which are measured, then rises by one number at a time', () => {
    const steps = run(costsOf('flat'), 20, () => ({ streams: 2, acceptance: () => 1 }))
    expect(steps.slice(0, 3).map(({ decision }) => decision.reason)).toEqual(['warm-up', 'warm-up', 'warm-up'])
    const decided = steps.map(({ decision }) => decision.k)
    expect(decided.every((k, i) => i === 0 || k <= at(decided, i - 1) + 1)).toBe(true)
    expect(decided.at(-1)).toBe(DRAFTS)
  })

  it('follows acceptance down within 64 steps, and up within 600', () => {
    const acceptance = (step: number) => (step >= 1500 && step < 3000 ? 0.1 : 0.9)
    const around = (step: number) => ({ streams: 2, acceptance: () => acceptance(step) })
    const steps = run(costsOf('linear'), 4500, around)
    expect(toBest(steps.slice(1564, 2064), costsOf('linear'), around(2000))).toBeGreaterThan(0.95)
    expect(toBest(steps.slice(3600, 4500), costsOf('linear'), around(4000))).toBeGreaterThan(0.95)
  })

  it('follows the number of streams within 64 steps', () => {
    const around = (step: number) => ({ streams: step >= 1000 && step < 2000 ? 16 : 1, acceptance: () => 0.8 })
    const steps = run(costsOf('linear'), 3000, around)
    for (const from of [500, 1064, 2064]) {
      const part = toBest(steps.slice(from, from + 500), costsOf('linear'), around(from))
      expect(part, `from step ${from}`).toBeGreaterThan(0.95)
    }
  })

  it('does not alternate between choices that are equally good', () => {
    for (const costs of Object.values(COSTS)) {
      for (const streams of [1, 4]) {
        const acceptance = () => breakEven(costs, streams)
        for (const noise of [0, 0.1]) {
          const setup = { drafts: DRAFTS, costs, at: () => ({ streams, acceptance }), steps: 3000, seed: 1, noise }
          expect(changes(simulateDrafts(controller(), setup))).toBeLessThan(0.02)
        }
      }
    }
  })

  it('stays as it is beside prompts, which do not count as requests that draft, or falls', () => {
    for (const prefillRows of [1, 7, 60]) {
      const around = (step: number) => ({
        streams: 4,
        acceptance: () => 0.9,
        prefillRows: step > 500 && step % 5 === 0 ? prefillRows : 0,
      })
      const steps = run(costsOf('flat'), 1000, around).slice(500)
      const beside = steps.filter(({ prefillRows: rows }) => rows > 0).map(({ decision }) => decision)
      expect(beside.length).toBeGreaterThan(50)
      expect(beside.every(({ k, reason }) => k === DRAFTS && reason !== 'probe')).toBe(true)
    }
  })

  it('is not made greater by rows that a step does not have', () => {
    const policy = controller()
    const surroundings = { streams: 8, acceptance: () => 0.9 }
    simulateDrafts(policy, { drafts: DRAFTS, costs: costsOf('flat'), at: () => surroundings, steps: 500, seed: 1 })
    const requests = Array.from({ length: 8 }, (_, id) => ({ id, limit: DRAFTS, lag: 0 }))
    const { goodput } = policy.decide({ requests, prefillRows: 0, draftRows: 6 })
    // Six rows are less than one draft each: a second round finds none.
    expect(goodput[2]).toBeLessThanOrEqual(goodput[1] ?? 0)
  })

  it.each([
    ['linear', 1.2],
    ['stepped', 1.15],
  ])('is less for requests of low acceptance where rows cost (%s): better than any number for all', (name, gain) => {
    const surroundings = { streams: 4, acceptance: (stream: number) => (stream % 2 === 0 ? 0.95 : 0) }
    const steps = run(costsOf(name), 3000, () => surroundings)
    expect(toBest(steps.slice(1500), costsOf(name), surroundings)).toBeGreaterThan(gain)
  })

  it('is the same for all requests where rows cost nothing', () => {
    const surroundings = { streams: 4, acceptance: (stream: number) => (stream % 2 === 0 ? 0.95 : 0) }
    const steps = run(costsOf('flat'), 2000, () => surroundings)
    expect(steps.every(({ decision }) => decision.fewer.size === 0)).toBe(true)
  })

  it('is at least 0.9 times as good as none, whatever the costs and phases of a run are', () => {
    const phase = fc.record({
      steps: fc.integer({ min: 300, max: 600 }),
      streams: fc.integer({ min: 1, max: 5 }),
      acceptance: fc.constantFrom(0, 0.2, 0.5, 0.8, 1),
    })
    const costs = fc.record({ start: fc.integer({ min: 1, max: 50 }), row: fc.nat(20), pass: fc.nat(5) })
    let drafts = 0
    fc.assert(
      fc.property(
        costs,
        fc.array(phase, { minLength: 1, maxLength: 4 }),
        fc.nat(),
        ({ start, row, pass }, phases, seed) => {
          const linear = { target: (rows: number) => start + row * rows, pass: () => pass }
          const plan = phases.flatMap((one) => Array.from({ length: one.steps }, () => one))
          const around = (step: number) => ({
            streams: at(plan, step).streams,
            acceptance: () => at(plan, step).acceptance,
          })
          const steps = simulateDrafts(controller(), {
            drafts: DRAFTS,
            costs: linear,
            at: around,
            steps: plan.length,
            seed,
          })
          const without = plan.reduce((sum, { streams }) => sum + linear.target(streams), 0)
          const taken = steps.reduce((sum, { trueMs }) => sum + trueMs, 0)
          const tokens = steps.reduce((sum, step) => sum + step.expectedTokens, 0)
          const bare = plan.reduce((sum, { streams }) => sum + streams, 0)
          expect(tokens / taken / (bare / without)).toBeGreaterThan(0.9)
          drafts += drafted(steps)
        },
      ),
      { numRuns: 60 },
    )
    expect(drafts).toBeGreaterThan(1000)
  })

  it('is at least 0.95 times as good as none where acceptance falls as soon as drafts are used', () => {
    for (const [name, costs] of Object.entries(COSTS)) {
      let used = false
      const policy = controller()
      const spy: DraftPolicy = {
        decide: (situation) => policy.decide(situation),
        observe: (step) => {
          used = step.draftPasses > 0
          policy.observe(step)
        },
        forget: () => {},
      }
      let lucky = 0
      const around = () => {
        lucky = used ? lucky - 1 : 12
        return { streams: 2, acceptance: () => (lucky > 0 ? 1 : 0) }
      }
      const steps = run(costs, 5000, around, spy)
      const tokens = steps.reduce((sum, step) => sum + step.tokens, 0)
      const ms = steps.reduce((sum, { trueMs }) => sum + trueMs, 0)
      expect((tokens / ms) * (costs.target(2) / 2), name).toBeGreaterThan(0.95)
    }
  })
})

describe('decisions', () => {
  it('are the same for the same steps, also when these were written down and read again', () => {
    const written: string[] = []
    const policy = controller()
    const spy: DraftPolicy = {
      decide: (situation) => {
        const { k, reason, goodput } = policy.decide(situation)
        written.push(JSON.stringify({ situation, k, reason, goodput }))
        return { ...fixedDrafts(k).decide(situation), reason, goodput }
      },
      observe: (step) => {
        written.push(JSON.stringify({ step }))
        policy.observe(step)
      },
      forget: () => {},
    }
    const around = (step: number) => ({ streams: 1 + (step >> 8), acceptance: () => 0.7 })
    simulateDrafts(spy, {
      drafts: DRAFTS,
      costs: costsOf('stepped'),
      at: around,
      steps: 1000,
      seed: 5,
      noise: 0.1,
      maxRows: 256,
    })
    const again = controller()
    for (const line of written) {
      const { step, situation, ...expected } = JSON.parse(line)
      if (step) again.observe(step as DraftedStep)
      else expect(again.decide(situation)).toMatchObject(expected)
    }
    expect(written).toHaveLength(2000)
  })

  it('say as many drafts as are fixed', () => {
    const steps = run(costsOf('steep'), 50, () => ({ streams: 3, acceptance: () => 0 }), fixedDrafts(2))
    expect(steps.slice(1).every(({ k, decision }) => k === 2 && decision.reason === 'fixed')).toBe(true)
  })
})

/** An acceptance at which no drafts and some number of them are equally good, or the nearest there is. */
function breakEven(costs: DraftCosts, streams: number): number {
  let low = 0
  let high = 1
  for (let i = 0; i < 30; i++) {
    const middle = (low + high) / 2
    const [none = 0, ...some] = fixedGoodputs(DRAFTS, costs, { streams, acceptance: () => middle })
    if (Math.max(...some) > none) high = middle
    else low = middle
  }
  return high
}
