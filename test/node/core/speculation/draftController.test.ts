import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ALLOWANCE, OPENING_PURSE } from '../../../../src/core/speculation/draftLedger.ts'
import { type DraftedStep, type DraftPolicy, fixedDrafts } from '../../../../src/core/speculation/draftPolicy.ts'
import { LONGEST_WAIT } from '../../../../src/core/speculation/probeSchedule.ts'
import { DRAFTS, excess, PHASES, simulatePhases } from '../../../helpers/draftExcess.ts'
import { controller, costsOf, run } from '../../../helpers/draftRuns.ts'
import {
  COSTS,
  type DraftCosts,
  fixedGoodputs,
  goodputOf,
  type SimulatedStep,
  simulateDrafts,
} from '../../../helpers/draftSimulator.ts'

/**
 * What decoding and prompts beside it took beyond what they would have taken without drafts. Not counted is what is
 * not counted elsewhere, and a step in which prompts come upon drafts that were decided before.
 */
function excessBesidePrompts(steps: readonly SimulatedStep[], costs: DraftCosts) {
  const sizes = new Set<string>()
  const bases = new Set<number>()
  let sum = 0
  let largest = 0
  let worst = 0
  let beside = false
  for (const { rows, passes, streams, tokens, prefillRows, trueMs } of steps) {
    const base = costs.target(streams)
    const without = costs.target(streams + prefillRows) + base * ((1 + ALLOWANCE) * (tokens / streams) - 1)
    const size = `${rows} ${passes}`
    const counts = prefillRows > 0 ? beside : sizes.has(size)
    if (prefillRows === 0) sizes.add(size)
    if (bases.has(streams) && counts) {
      sum += trueMs - without
      largest = Math.max(largest, trueMs - without)
      worst = Math.max(worst, sum)
    }
    if (passes === 0 && prefillRows === 0) bases.add(rows)
    beside = prefillRows > 0
  }
  return { worst, largest }
}

describe('drafts', () => {
  it('never cost more than none by more than 1 %, the purse and two decisions, whatever costs, acceptance and prompts', () => {
    const table = fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 32, maxLength: 32 })
    let drafted = 0
    fc.assert(
      fc.property(table, table, PHASES, fc.nat(), (target, pass, phases, seed) => {
        const costs = { target: (rows: number) => target[rows] ?? 1000, pass: (n: number) => (pass[n] ?? 0) / 10 }
        const steps = simulatePhases(controller(), phases, costs, seed)
        const { whole, part, mayWhole, mayPart } = excess(steps, costs)
        expect(whole).toBeLessThanOrEqual(mayWhole)
        expect(part).toBeLessThanOrEqual(mayPart)
        drafted += steps.filter(({ k }) => k > 0).length
      }),
      { numRuns: 300 },
    )
    expect(drafted).toBeGreaterThan(1000)
  })

  it('never cost more beside prompts either where every row costs the same', () => {
    const costs = fc.record({
      start: fc.integer({ min: 1, max: 50 }),
      row: fc.nat({ max: 20 }),
      pass: fc.nat({ max: 5 }),
    })
    let drafted = 0
    fc.assert(
      fc.property(costs, PHASES, fc.nat(), ({ start, row, pass }, phases, seed) => {
        const linear = { target: (rows: number) => start + row * rows, pass: () => pass }
        const steps = simulatePhases(controller(), phases, linear, seed)
        const { worst, largest } = excessBesidePrompts(steps, linear)
        expect(worst).toBeLessThanOrEqual(2 * OPENING_PURSE * linear.target(5) + 4 * largest)
        drafted += steps.filter(({ k, prefillRows }) => k > 0 && prefillRows > 0).length
      }),
      { numRuns: 300 },
    )
    expect(drafted).toBeGreaterThan(1000)
  })

  it('never cost more than that either when acceptance falls as soon as they are used', () => {
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
      const at = () => {
        lucky = used ? lucky - 1 : 12
        return { streams: 2, acceptance: () => (lucky > 0 ? 1 : 0) }
      }
      const { whole, part, mayWhole, mayPart } = excess(run(costs, 5000, at, spy), costs)
      expect(whole, name).toBeLessThanOrEqual(mayWhole)
      expect(part, name).toBeLessThanOrEqual(mayPart)
    }
  })

  it('are weighed in few steps while none are worth it, and at once where something changed', () => {
    const changed = 3000
    const at = (step: number) => ({ streams: step < changed ? 2 : 3, acceptance: () => 0 })
    const steps = run(costsOf('steep'), changed + 100, at)
    const weighed = steps.map(({ decision }) => decision.goodput.length > 0)
    const settled = weighed.slice(2000, changed)
    expect(settled.filter(Boolean).length).toBeLessThan(settled.length / 8)
    expect(settled).toContain(true)
    // No step of three streams ran before: there is nothing to weigh until some have.
    expect(steps.slice(changed).findIndex(({ decision }) => decision.reason === 'warm-up')).toBe(0)
    expect(weighed.slice(changed, changed + 8)).toContain(true)
  })

  it('are the same whether a step is learnt from at once or at the next look', () => {
    const [policy, eager] = [controller(), controller()]
    const spy: DraftPolicy = {
      decide: (situation) => {
        const decision = policy.decide(situation)
        expect(eager.decide(situation)).toEqual(decision)
        return decision
      },
      observe: (step) => {
        policy.observe(step)
        eager.observe(step)
        // Nothing is to be remembered of a request that ended: what it took part in is learnt from at once.
        eager.forget(-1)
      },
      forget: () => {},
    }
    for (const acceptance of [0.1, 0.5]) {
      const at = (step: number) => ({ streams: 1 + (step >> 9), acceptance: () => acceptance })
      simulateDrafts(spy, { drafts: DRAFTS, costs: costsOf('linear'), at, steps: 2000, seed: 5, noise: 0.1 })
    }
  })

  it('follow acceptance down within 64 steps and up within twice the longest wait', () => {
    const at = (step: number) => ({ streams: 2, acceptance: () => (step >= 1500 && step < 3000 ? 0.1 : 0.9) })
    const steps = run(costsOf('linear'), 4500, at)
    const best = (step: number) => Math.max(...fixedGoodputs(DRAFTS, costsOf('linear'), at(step)))
    expect(goodputOf(steps.slice(1564, 2064)) / best(2000)).toBeGreaterThan(0.95)
    const back = 3000 + 2 * LONGEST_WAIT
    expect(goodputOf(steps.slice(back, back + 500)) / best(4000)).toBeGreaterThan(0.95)
  })

  it('follow the number of streams within 64 steps', () => {
    const at = (step: number) => ({ streams: step >= 1000 && step < 2000 ? 16 : 1, acceptance: () => 0.8 })
    const steps = run(costsOf('linear'), 3000, at)
    for (const from of [500, 1064, 2064]) {
      const best = Math.max(...fixedGoodputs(DRAFTS, costsOf('linear'), at(from)))
      expect(goodputOf(steps.slice(from, from + 500)) / best, `from step ${from}`).toBeGreaterThan(0.95)
    }
  })

  it('do not collapse when a prompt comes beside: prompts do not count as requests that draft', () => {
    for (const prefillRows of [1, 7, 60]) {
      const at = (step: number) => ({
        streams: 4,
        acceptance: () => 0.9,
        prefillRows: step > 500 && step % 5 === 0 ? prefillRows : 0,
      })
      const steps = run(costsOf('flat'), 2000, at).slice(500)
      const chosen = steps.filter(({ decision }) => decision.reason !== 'probe')
      expect(chosen.some(({ prefillRows: rows }) => rows > 0)).toBe(true)
      expect(chosen.every(({ decision }) => decision.k === 4)).toBe(true)
    }
  })

  it('pay for the prompt rows that they push out of a step', () => {
    // Free beside one another, dear beside a prompt that could use every row.
    const costs = { target: (rows: number) => 10 + 8 * Math.max(0, rows - 32), pass: () => 0.1 }
    const at = (step: number) => ({
      streams: 4,
      acceptance: () => 0.5,
      prefillRows: step > 600 ? 20 + (step % 100) : 0,
    })
    const policy = controller()
    const steps = simulateDrafts(policy, { drafts: DRAFTS, costs, at, steps: 2000, seed: 1, maxRows: 128 })
    expect(steps[599]?.k).toBeGreaterThan(2)
    expect(steps.slice(700).filter(({ k }) => k > 0).length).toBeLessThan(100)
    const request = { id: 0, limit: DRAFTS, lag: 0 }
    const requests = [request, { ...request, id: 1 }, { ...request, id: 2 }, { ...request, id: 3 }]
    const alone = policy.decide({ requests, prefillRows: 0, draftRows: 124 }).goodput
    const beside = policy.decide({ requests, prefillRows: 124, draftRows: 92 }).goodput
    expect((alone[4] ?? 0) / (alone[0] ?? 1)).toBeGreaterThan(1.5)
    expect((beside[4] ?? 0) / (beside[0] ?? 1)).toBeLessThan(1)
  })

  it('beyond the rows of a step are not counted on', () => {
    const requests = Array.from({ length: 8 }, (_, id) => ({ id, limit: DRAFTS, lag: 0 }))
    const policy = controller()
    simulateDrafts(policy, {
      drafts: DRAFTS,
      costs: costsOf('flat'),
      at: () => ({ streams: 8, acceptance: () => 0.9 }),
      steps: 500,
      seed: 1,
    })
    const { goodput } = policy.decide({ requests, prefillRows: 0, draftRows: 6 })
    // Six rows are less than one draft each: a second round finds none.
    expect(goodput[2]).toBeLessThanOrEqual(goodput[1] ?? 0)
  })

  it('are the same for the same steps, also when these were written down and read again', () => {
    const written: string[] = []
    const policy = controller()
    const spy: DraftPolicy = {
      decide: (situation) => {
        const decision = policy.decide(situation)
        written.push(JSON.stringify({ situation, k: decision.k, reason: decision.reason, goodput: decision.goodput }))
        return decision
      },
      observe: (step) => {
        written.push(JSON.stringify({ step }))
        policy.observe(step)
      },
      forget: () => {},
    }
    const at = (step: number) => ({ streams: 1 + (step >> 8), acceptance: () => 0.7 })
    const setup = { drafts: DRAFTS, costs: costsOf('stepped'), at, steps: 1000, seed: 5, noise: 0.1, maxRows: 256 }
    simulateDrafts(spy, setup)
    const again = controller()
    for (const line of written) {
      const { step, situation, ...expected } = JSON.parse(line)
      if (step) again.observe(step as DraftedStep)
      else expect(again.decide(situation)).toMatchObject(expected)
    }
    expect(written).toHaveLength(2000)
  })

  it('are as many as said where they are fixed', () => {
    const steps = run(costsOf('steep'), 50, () => ({ streams: 3, acceptance: () => 0 }), fixedDrafts(2))
    expect(steps.slice(1).every(({ k, decision }) => k === 2 && decision.reason === 'fixed')).toBe(true)
  })
})
