/** What goodput is estimated from: the times of steps, and how often drafts are accepted. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AcceptanceRates } from '../../../../src/core/speculation/acceptanceRates.ts'
import { StepTimeModel } from '../../../../src/core/speculation/stepTimeModel.ts'
import { TimeTable } from '../../../../src/core/speculation/timeTable.ts'
import { Random } from '../../../bench/simulator/random.ts'

describe('the times of steps', () => {
  it('are predicted within a twentieth from linear ones, also between and beyond the rows that were measured', () => {
    const cost = fc.record({
      start: fc.integer({ min: 1, max: 50 }),
      row: fc.nat(20),
      pass: fc.integer({ min: 1, max: 20 }),
    })
    fc.assert(
      fc.property(cost, fc.integer({ min: 1, max: 200 }), ({ start, row, pass }, decoding) => {
        const times = new StepTimeModel()
        const ms = (drafts: number, passes: number) => start + row * decoding * (1 + drafts) + pass * passes
        times.observe(decoding, 0, 0, ms(0, 0))
        times.observe(decoding, 0, 1, ms(0, 1))
        times.observe(decoding, decoding, 1, ms(1, 1))
        times.observe(decoding, 3 * decoding, 3, ms(3, 3))
        for (const k of [0, 1, 2, 3, 4]) {
          const expected = ms(k, k)
          expect(Math.abs(times.predict(decoding, k * decoding, k) - expected)).toBeLessThan(0.05 * expected)
        }
      }),
    )
  })

  it('follow a change, and hardly an outlier', () => {
    const table = new TimeTable()
    for (let i = 0; i < 50; i++) table.add(4, 10)
    table.add(4, 1000)
    expect(table.at(4)).toBeLessThan(10.5)
    for (let i = 0; i < 50; i++) table.add(4, 20)
    expect(table.at(4)).toBeGreaterThan(18)
  })

  it('begin with the shorter of two, and grow from nothing', () => {
    const table = new TimeTable()
    table.add(4, 1000)
    expect([table.unconfirmed(4), table.at(4)]).toEqual([true, 1000])
    table.add(4, 0)
    expect([table.unconfirmed(4), table.at(4)]).toEqual([false, 0])
    for (let i = 0; i < 200; i++) table.add(4, 10)
    expect(table.at(4)).toBeGreaterThan(5)
  })

  it('of catching up are those beyond the same step without it', () => {
    const times = new StepTimeModel()
    times.observe(2, 0, 0, 10)
    expect(times.predictCatchUp(100)).toBe(0)
    for (let i = 0; i < 100; i++) times.observeCatchUp(2, 50, 20)
    expect(times.predictCatchUp(50)).toBeGreaterThan(9)
    expect(times.predictCatchUp(50)).toBeLessThan(10)
  })
})

describe('acceptance rates', () => {
  it('come close to the true ones by position, and follow when these change', () => {
    const rates = new AcceptanceRates(3)
    const luck = new Random(1, 1)
    const observe = (steps: number, rate: number) => {
      for (let step = 0; step < steps; step++) {
        let accepted = 0
        while (accepted < 2 && luck.fraction() < rate / (1 + accepted)) accepted++
        rates.observe([0, 1, 2, 3].map((id) => ({ id, k: 2, accepted: id === 0 ? accepted : 0 })).slice(0, 1))
      }
    }
    observe(500, 0.8)
    const [first = 0, second = 0, third = 0] = rates.shared()
    expect(Math.abs(first - 0.8)).toBeLessThan(0.2)
    expect(Math.abs(second - 0.4)).toBeLessThan(0.25)
    // Never verified: as good as the one before it.
    expect(third).toBe(second)
    observe(200, 0.1)
    expect(rates.shared()[0]).toBeLessThan(0.35)
  })

  it('of a request count apart once chance does not explain the difference, until it ends', () => {
    const rates = new AcceptanceRates(1)
    const step = () => rates.observe([0, 1, 2, 3].map((id) => ({ id, k: 1, accepted: id === 0 ? 1 : 0 })))
    step()
    expect(rates.factor(1)).toBe(1)
    for (let i = 0; i < 100; i++) step()
    expect(rates.factor(0)).toBeGreaterThan(2)
    expect(rates.factor(1)).toBeLessThan(0.5)
    rates.forget(0)
    expect(rates.factor(0)).toBe(1)
  })
})
