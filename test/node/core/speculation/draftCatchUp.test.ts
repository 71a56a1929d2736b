/** What it costs the drafter to catch up is weighed before drafts are tried, and kept within the same bounds. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CatchUpTime } from '../../../../src/core/speculation/catchUpTime.ts'
import { DraftController } from '../../../../src/core/speculation/draftController.ts'
import { DRAFTS, excess, PHASES, simulatePhases } from '../../../helpers/draftExcess.ts'
import { COSTS, type DraftCosts, simulateDrafts } from '../../../helpers/draftSimulator.ts'

function controller(): DraftController {
  return new DraftController({ numSpeculativeTokens: DRAFTS, verifiedAtOnce: false })
}

describe('catching up', () => {
  it('and drafts never cost more than 1 %, the purse and two decisions, however long the prompts are', () => {
    const costs = fc.record({
      start: fc.integer({ min: 1, max: 50 }),
      row: fc.integer({ min: 1, max: 20 }),
      pass: fc.nat({ max: 5 }),
      kvPart: fc.integer({ min: 1, max: 16 }),
    })
    let caughtUp = 0
    fc.assert(
      fc.property(costs, PHASES, fc.nat(), fc.nat(300), ({ start, row, pass, kvPart }, phases, seed, promptTokens) => {
        const linear: DraftCosts = {
          target: (rows) => start + row * rows,
          pass: () => pass,
          kvRow: (row / 16) * (kvPart / 16),
        }
        const steps = simulatePhases(controller(), phases, linear, seed, promptTokens)
        const { whole, part, mayWhole, mayPart } = excess(steps, linear)
        expect(whole).toBeLessThanOrEqual(mayWhole)
        expect(part).toBeLessThanOrEqual(mayPart)
        caughtUp += steps.filter(({ catchUpRows }) => catchUpRows > 0).length
      }),
      { numRuns: 300 },
    )
    expect(caughtUp).toBeGreaterThan(1000)
  })

  it('comes before a probe, in steps without drafts that say so', () => {
    const at = () => ({ streams: 2, acceptance: () => 0.1 })
    const costs = COSTS.linear ?? expect.fail('linear')
    const steps = simulateDrafts(controller(), { drafts: DRAFTS, costs, at, steps: 1000, seed: 1, maxRows: 16 })
    const decisions = steps.map(({ decision }) => decision)
    const begun = decisions.filter(({ reason }, i) => reason === 'probe' && decisions[i - 1]?.reason === 'catch-up')
    expect(begun.length).toBeGreaterThan(2)
    const catching = decisions.filter(({ reason }) => reason === 'catch-up')
    expect(catching.every(({ k, follow }) => k === 0 && follow)).toBe(true)
    // Where nobody drafts the drafter does nothing.
    const idle = decisions.filter(({ k, reason }) => k === 0 && reason !== 'catch-up')
    expect(idle.length).toBeGreaterThan(500)
    expect(idle.every(({ follow }) => !follow)).toBe(true)
  })

  it('takes a small part of the time, however dear it is, and is done the more often the cheaper it is', () => {
    const { target, pass } = COSTS.linear ?? expect.fail('linear')
    const caughtUp = (kvRow: number) => {
      const at = () => ({ streams: 1, acceptance: () => 0.1 })
      const steps = simulateDrafts(controller(), {
        drafts: DRAFTS,
        costs: { target, pass, kvRow },
        at,
        steps: 6000,
        seed: 2,
      })
      const rows = steps.reduce((sum, { catchUpRows }) => sum + catchUpRows, 0)
      const ms = steps.reduce((sum, { trueMs }) => sum + trueMs, 0)
      return { rows, part: (rows * kvRow) / ms }
    }
    for (const kvRow of [0.05, 0.2, 1]) expect(caughtUp(kvRow).part, `${kvRow} ms`).toBeLessThan(0.015)
    expect(caughtUp(0.001).rows).toBeGreaterThan(5 * caughtUp(1).rows)
  })
})

describe('the time of a row', () => {
  it('is nothing for a few and a part of a target row for many, until it was measured three times', () => {
    const time = new CatchUpTime()
    expect([time.of(64, 2, 20), time.of(320, 2, 20)]).toEqual([0, 200])
    time.observe(10, 1)
    time.observe(10, 2)
    expect(time.trusted).toBe(false)
    time.observe(10, 90)
    expect([time.trusted, time.of(64, 2, 20)]).toEqual([true, 12.8])
  })

  it('is the median of the last five, never below nothing', () => {
    const time = new CatchUpTime()
    for (const ms of [50, 50, 50, -3, 1, 2, 3, -1]) time.observe(10, ms)
    expect(time.of(100, 1, 10)).toBe(10)
    for (let i = 0; i < 3; i++) time.observe(10, -5)
    expect(time.of(100, 1, 10)).toBe(0)
  })
})
