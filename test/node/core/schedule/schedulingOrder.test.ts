import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compareSchedulingOrder, SchedulingState } from '../../../../src/core/schedule/schedulingState.ts'
import { engineOptions, mtp } from '../../../helpers/coreFixtures.ts'
import { rowsOf, SchedulerRig } from '../../../helpers/schedulerRig.ts'

const arrivals = fc.array(fc.record({ rows: fc.nat(40), priority: fc.integer({ min: -4, max: 4 }) }), {
  minLength: 2,
  maxLength: 30,
})

/** The scheduling states of requests that arrive `rows` rows after one another. */
function states(some: readonly { rows: number; priority: number }[], agingTokens: number) {
  let clock = 0
  return some.map(({ rows, priority }, i) => {
    clock += rows
    return { clock, priority, schedulingState: new SchedulingState(priority, i + 1, clock, agingTokens) }
  })
}

describe('the scheduling order', () => {
  it('is a total order: no two are equal, and it is the same whichever way round they are compared (44)', () => {
    fc.assert(
      fc.property(arrivals, fc.integer({ min: 1, max: 50 }), (some, aging) => {
        const all = states(some, aging).map(({ schedulingState }) => schedulingState)
        const sorted = all.toSorted(compareSchedulingOrder)
        for (const [i, a] of sorted.entries()) {
          for (const [j, b] of sorted.entries()) {
            expect(Math.sign(compareSchedulingOrder(a, b))).toBe(Math.sign(i - j))
          }
        }
      }),
    )
  })

  it('is by priority among those that arrive together, ties by arrival (44)', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -9, max: 9 }), { minLength: 1 }), (priorities) => {
        const all = states(
          priorities.map((priority) => ({ rows: 0, priority })),
          1,
        )
        const sorted = all.map(({ schedulingState }) => schedulingState).sort(compareSchedulingOrder)
        const expected = sorted.toSorted((a, b) => a.priority - b.priority || a.arrival - b.arrival)
        expect(sorted).toEqual(expected)
      }),
    )
  })

  it('lets a later arrival pass only within as many rows as its priority is better by (45)', () => {
    let passed = 0
    fc.assert(
      fc.property(arrivals, fc.integer({ min: 1, max: 50 }), (some, aging) => {
        const all = states(some, aging)
        for (const [i, earlier] of all.entries()) {
          for (const later of all.slice(i + 1)) {
            const better = earlier.priority - later.priority
            const rows = later.clock - earlier.clock
            const passes = compareSchedulingOrder(later.schedulingState, earlier.schedulingState) < 0
            expect(passes).toBe(rows < better * aging)
            if (passes && rows > 0) passed++
          }
        }
      }),
    )
    expect(passed).toBeGreaterThan(50)
  })
})

describe('ageing', () => {
  const load = fc.record({
    S: fc.integer({ min: 1, max: 4 }),
    moreRows: fc.nat(24),
    drafts: fc.nat(4),
    priority: fc.integer({ min: 1, max: 4 }),
    aging: fc.integer({ min: 1, max: 60 }),
    prompt: fc.integer({ min: 1, max: 20 }),
    maxTokens: fc.integer({ min: 1, max: 6 }),
    before: fc.nat(6),
  })

  it('brings a request of low priority in though requests of high priority arrive in every step, without end (43) (45)', () => {
    let overtaken = 0
    fc.assert(
      fc.property(load, ({ S, moreRows, drafts, priority, aging, prompt, maxTokens, before }) => {
        const rig = new SchedulerRig(
          engineOptions({
            maxNumSeqs: S,
            maxNumBatchedTokens: S + moreRows,
            maxModelLen: 32,
            kvCacheTokens: 32 * S,
            speculative: mtp(drafts),
            // Nobody waits for another one's prefix: order alone decides.
            enablePrefixCaching: false,
            schedulingPolicy: 'priority',
            priorityAgingTokens: aging,
          }),
        )
        const LOW = 1_000_000
        const arrivedAt = new Map<number, number>()
        let clock = 0
        let lowAt = 0
        // Whoever can be ahead of it arrived before its time was due, and every step runs a row of somebody who is ahead.
        const due = () => lowAt + priority * aging
        const aheadOfIt = () => [...arrivedAt.values()].filter((at) => at < due()).length
        for (let step = 0; ; step++) {
          if (step === before) {
            rig.add(LOW, prompt, maxTokens, { priority })
            lowAt = clock
          }
          rig.add(step, prompt, maxTokens, { priority: 0 })
          arrivedAt.set(step, clock)
          const output = rig.step()
          clock += rowsOf(output)
          for (const { admitted, running } of output.requests) {
            if (!admitted || step < before || running.request.id === LOW) continue
            const waits = rig.waitingIds.includes(LOW)
            const at = arrivedAt.get(running.request.id) ?? 0
            if (waits) expect(at).toBeLessThan(due())
            if (waits && at >= lowAt) overtaken++
          }
          if (step >= before && !rig.runningIds.includes(LOW) && !rig.waitingIds.includes(LOW)) break
          expect(step).toBeLessThanOrEqual(before + (aheadOfIt() + 1) * (prompt + maxTokens))
        }
      }),
      { numRuns: 100 },
    )
    expect(overtaken).toBeGreaterThan(50)
  })

  it('does not heed priority under fcfs', () => {
    const rig = new SchedulerRig(engineOptions({ maxNumSeqs: 1 }))
    for (const [id, priority] of [3, 0, -5].entries()) rig.add(id, 4, 1, { priority })
    expect(rig.waitingIds).toEqual([0, 1, 2])
  })
})
