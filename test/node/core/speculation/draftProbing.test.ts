/** When drafts are tried that are not in use, and what that costs. */

import { describe, expect, it } from 'vitest'
import { DRAFTS } from '../../../helpers/draftExcess.ts'
import { controller, costsOf, run } from '../../../helpers/draftRuns.ts'
import {
  type DraftCosts,
  fixedGoodputs,
  goodputOf,
  type SimulatedStep,
  simulateDrafts,
} from '../../../helpers/draftSimulator.ts'

describe('drafts that are not in use', () => {
  it('are not even tried where full acceptance would lose by the measured times', () => {
    const dear = { target: (rows: number) => 2 * rows, pass: () => 0.5 }
    const steps = run(dear, 10_000, () => ({ streams: 4, acceptance: () => 1 }))
    expect(steps.slice(6000).every(({ decision }) => decision.k === 0)).toBe(true)
    expect(steps.filter(({ k }) => k > 0).length).toBeLessThan(100)
  })

  it('lose next to nothing in short runs on a slow adapter, once they were tried', () => {
    const costs = costsOf('steep')
    for (const streams of [1, 4, 16]) {
      for (const acceptance of [0.3, 0.6]) {
        const parts = { first: 0, later: 0 }
        for (let seed = 1; seed <= 20; seed++) {
          const at = () => ({ streams, acceptance: () => acceptance })
          const setup = {
            drafts: DRAFTS,
            costs,
            at,
            steps: 90,
            seed,
            noise: seed % 2 === 0 ? 0.1 : 0.2,
            strayEvery: 50,
          }
          const steps = simulateDrafts(controller(), setup)
          const none = fixedGoodputs(DRAFTS, costs, at())[0] ?? 1
          parts.first += goodputOf(steps.slice(0, 30)) / none / 20
          parts.later += goodputOf(steps.slice(30)) / none / 20
        }
        expect(parts.first).toBeGreaterThan(0.85)
        expect(parts.later).toBeGreaterThan(0.98)
      }
    }
  })

  describe('on an adapter where only many accepted drafts of one stream would pay', () => {
    const costs: DraftCosts = { target: (rows) => 7.5 + 2.5 * rows, pass: (drafting) => 4 + drafting, kvRow: 0.15 }
    const acceptance = (_: number, position: number) => 0.38 * 0.8 ** position

    it('cost less than 0.6 % of short requests', () => {
      let part = 0
      for (let seed = 1; seed <= 60; seed++) {
        const setup = { drafts: DRAFTS, costs, at: () => ({ streams: 1, acceptance }), steps: 448, seed }
        const steps = simulateDrafts(controller(), { ...setup, noise: 0.06, strayEvery: 150, promptTokens: 16 })
        part += (goodputOf(steps.slice(64)) * costs.target(1)) / 60
      }
      expect(part).toBeGreaterThan(0.994)
    })

    it('are not tried the more with one stream because steps of many run between', () => {
      const tried = (steps: readonly SimulatedStep[]) => steps.filter(({ streams, k }) => streams === 1 && k > 0).length
      const alone = tried(run(costs, 5000, () => ({ streams: 1, acceptance })))
      const between = run(costs, 20_000, (step) => ({ streams: step % 256 < 64 ? 1 : 16, acceptance }))
      expect(tried(between)).toBeGreaterThan(0)
      expect(tried(between)).toBeLessThan(1.5 * alone)
    })
  })

  it('are tried less and less often while they lose, and never stop being tried', () => {
    const steps = run(costsOf('linear'), 4000, () => ({ streams: 1, acceptance: () => 0 }))
    const tried = (from: number, to: number) => steps.slice(from, to).filter(({ k }) => k > 0).length
    expect(tried(1000, 4000)).toBeGreaterThan(3)
    expect(tried(1000, 4000)).toBeLessThan(3 * tried(0, 1000))
  })
})
