/** When a number of drafts is tried that is not in use, and what the drafter does before. */

import { describe, expect, it } from 'vitest'
import type { DraftPolicy } from '../../../../src/core/speculation/draftPolicy.ts'
import { controller, costsOf, DRAFTS, run } from '../../../helpers/draftRuns.ts'
import { fixedGoodputs, goodputOf, type SimulatedStep, simulateDrafts } from '../../../helpers/draftSimulator.ts'

const drafted = (steps: readonly SimulatedStep[]) => steps.filter(({ k }) => k > 0).length

describe('probes', () => {
  it('are not made where drafts would lose even if all were accepted', () => {
    const dear = { target: (rows: number) => 2 * rows, pass: () => 0.5 }
    const steps = run(dear, 3000, () => ({ streams: 4, acceptance: () => 1 }))
    expect(steps.slice(200).every(({ decision }) => decision.k === 0 && decision.reason === 'off')).toBe(true)
    expect(drafted(steps)).toBeLessThan(20)
  })

  it('take less than 3 % of the steps while drafts lose, and never end', () => {
    const steps = run(costsOf('linear'), 8000, () => ({ streams: 1, acceptance: () => 0 }))
    expect(drafted(steps.slice(4000))).toBeGreaterThan(3)
    expect(drafted(steps.slice(4000))).toBeLessThan(0.03 * 4000)
  })

  it('are made again where the only time of a number of drafts was an outlier', () => {
    // The first step that has draft passes, and the first of 3 rows, take ten times as long.
    const seen = new Set<string>()
    const policy = controller()
    const spy: DraftPolicy = {
      ...policy,
      decide: (situation) => policy.decide(situation),
      forget: () => {},
      observe: (step) => {
        const rows = step.requests.reduce((sum, { k }) => sum + 1 + k, 0)
        const sizes = [step.draftPasses > 0 ? 'passes' : '', rows === 3 ? 'three' : ''].filter(Boolean)
        const first = sizes.some((size) => !seen.has(size))
        for (const size of sizes) seen.add(size)
        policy.observe({ ...step, ms: step.ms * (first ? 10 : 1) })
      },
    }
    const surroundings = { streams: 1, acceptance: () => 0.9 }
    const steps = run(costsOf('flat'), 300, () => surroundings, spy)
    const best = Math.max(...fixedGoodputs(DRAFTS, costsOf('flat'), surroundings))
    expect(seen.size).toBe(2)
    expect(goodputOf(steps.slice(100)) / best).toBeGreaterThan(0.97)
  })

  it('go on where a coarse clock measured nothing', () => {
    const policy = controller()
    const spy: DraftPolicy = {
      decide: (situation) => policy.decide(situation),
      forget: () => {},
      observe: (step) => policy.observe({ ...step, ms: Math.floor(step.ms / 2) * 2 }),
    }
    const fast = { target: () => 1.2, pass: () => 0.1 }
    const steps = run(
      { ...fast, target: (rows) => (rows > 1 ? 3 : 1.2) },
      2000,
      () => ({ streams: 1, acceptance: () => 0 }),
      spy,
    )
    expect(drafted(steps.slice(1000))).toBeLessThan(200)
  })
})

describe('catching up', () => {
  it('comes before a probe, in steps without drafts that say so; where nobody drafts the drafter does nothing', () => {
    const steps = run(costsOf('linear'), 3000, () => ({ streams: 2, acceptance: () => 0.1 }))
    const decisions = steps.map(({ decision }) => decision)
    const begun = decisions.filter(({ reason }, i) => reason === 'probe' && decisions[i - 1]?.reason === 'catch-up')
    expect(begun.length).toBeGreaterThan(1)
    const catching = decisions.filter(({ reason }) => reason === 'catch-up')
    expect(catching.every(({ k, runKvPass }) => k === 0 && runKvPass)).toBe(true)
    const idle = decisions.filter(({ k, reason }) => k === 0 && reason !== 'catch-up')
    expect(idle.length).toBeGreaterThan(500)
    expect(idle.every(({ runKvPass }) => !runKvPass)).toBe(true)
  })

  it('takes a small part of the time, however dear it is, and is done the more often the cheaper it is', () => {
    const caughtUp = (kvRow: number) => {
      const costs = { ...costsOf('linear'), kvRow }
      const around = () => ({ streams: 1, acceptance: () => 0.1 })
      const steps = simulateDrafts(controller(), { drafts: DRAFTS, costs, at: around, steps: 6000, seed: 2 })
      const rows = steps.reduce((sum, { catchUpRows }) => sum + catchUpRows, 0)
      return { rows, part: (rows * kvRow) / steps.reduce((sum, { trueMs }) => sum + trueMs, 0) }
    }
    for (const kvRow of [0.05, 0.2, 1]) expect(caughtUp(kvRow).part, `${kvRow} ms`).toBeLessThan(0.03)
    expect(caughtUp(0.001).rows).toBeGreaterThan(caughtUp(1).rows)
  })

  it('does not hold up a probe for ever where a step has too few rows for all who lag', () => {
    const policy = controller()
    const around = () => ({ streams: 8, acceptance: () => 0 })
    simulateDrafts(policy, { drafts: DRAFTS, costs: costsOf('linear'), at: around, steps: 200, seed: 1 })
    const requests = Array.from({ length: 8 }, (_, id) => ({ id, limit: DRAFTS, lag: 100 }))
    const verified = requests.map(({ id }) => ({ id, k: 0, accepted: 0 }))
    const ms = costsOf('linear').target(8)
    const reasons: string[] = []
    for (let step = 0; step < 1000; step++) {
      const { reason } = policy.decide({ requests, prefillRows: 0, draftRows: 64 })
      reasons.push(reason)
      const catchUpRows = reason === 'catch-up' ? 8 : 0
      policy.observe({ requests: verified, prefillRows: 0, draftPasses: 0, catchUpRows, kvPassRows: catchUpRows, ms })
    }
    const probe = reasons.indexOf('probe')
    expect(probe).toBeGreaterThan(64)
    expect(reasons.slice(probe - 64, probe).every((reason) => reason === 'catch-up')).toBe(true)
    expect(reasons[probe - 65]).not.toBe('catch-up')
  })
})
