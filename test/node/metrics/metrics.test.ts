import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AcceptanceCounter } from '../../../src/metrics/acceptance.ts'
import { LatencyTracker } from '../../../src/metrics/latency.ts'
import { StepWindow } from '../../../src/metrics/stepWindow.ts'
import type { StepRecord } from '../../../src/protocol/stepRecord.ts'

function record(changes: Partial<StepRecord>): StepRecord {
  return {
    step: 1,
    policy: 'exact',
    limit: 64,
    baseRows: 0,
    draftRows: 0,
    prefillRows: 0,
    chargedRows: 0,
    acceptedDrafts: 0,
    rejectedDrafts: 0,
    proposedDrafts: 0,
    committedTokens: 0,
    cachedTokens: 0,
    preempted: 0,
    recomputedTokens: 0,
    running: 0,
    waiting: 0,
    usedBlocks: 0,
    totalBlocks: 0,
    ms: { schedule: 0, encode: 0, wait: 0, update: 0 },
    ...changes,
  }
}

describe('acceptance', () => {
  it('counts each position by itself', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(4), fc.nat(4)).filter(([k, a]) => a <= k)), (runs) => {
        const counter = new AcceptanceCounter(4)
        for (const [verified, accepted] of runs) counter.count(verified, accepted)
        expect(counter.verified).toEqual([1, 2, 3, 4].map((j) => runs.filter(([k]) => k >= j).length))
        expect(counter.accepted).toEqual([1, 2, 3, 4].map((j) => runs.filter(([, a]) => a >= j).length))
      }),
    )
  })

  it('of a run that was cut counts as if no more had been right', () => {
    const run = fc.tuple(fc.nat(4), fc.nat(4), fc.nat(4)).filter(([k, a, kept]) => kept <= a && a <= k)
    fc.assert(
      fc.property(fc.array(run), (runs) => {
        const [cut, plain] = [new AcceptanceCounter(4), new AcceptanceCounter(4)]
        for (const [verified, accepted, kept] of runs) {
          cut.count(verified, accepted)
          cut.cut(accepted, kept)
          plain.count(verified, kept)
        }
        expect([cut.verified, cut.accepted]).toEqual([plain.verified, plain.accepted])
      }),
    )
  })

  it('has no positions without speculation', () => {
    const counter = new AcceptanceCounter(0)
    counter.count(0, 0)
    expect(counter.verified).toEqual([])
  })
})

describe('latency', () => {
  it('measures to the first token, then between tokens, evenly within a run', () => {
    const tracker = new LatencyTracker()
    tracker.added(1, 100)
    tracker.added(2, 100)
    tracker.tokens(1, 1, 130)
    tracker.tokens(1, 4, 150)
    tracker.tokens(2, 2, 190)
    expect(tracker.timeToFirstToken).toEqual({ count: 2, mean: 60, p50: 30, p95: 90, max: 90 })
    expect(tracker.interToken).toEqual({ count: 4, mean: 5, p50: 5, p95: 5, max: 5 })
    tracker.ended(1)
    tracker.tokens(1, 1, 500)
    expect(tracker.interToken.count).toBe(4)
  })

  it('keeps the latest values only', () => {
    const tracker = new LatencyTracker(3)
    for (let id = 0; id < 10; id++) {
      tracker.added(id, 0)
      tracker.tokens(id, 1, id)
    }
    expect(tracker.timeToFirstToken).toEqual({ count: 3, mean: 8, p50: 8, p95: 9, max: 9 })
  })

  it('is all zero without values', () => {
    expect(new LatencyTracker().interToken).toEqual({ count: 0, mean: 0, p50: 0, p95: 0, max: 0 })
  })
})

describe('step window', () => {
  it('sums what the steps of the window did', () => {
    const window = new StepWindow(1000)
    window.add(record({ prefillRows: 64, committedTokens: 99 }), 0)
    window.add(record({ baseRows: 4, draftRows: 12, acceptedDrafts: 6, rejectedDrafts: 6, committedTokens: 10 }), 1500)
    window.add(record({ baseRows: 4, prefillRows: 44, committedTokens: 5 }), 1750)
    expect(window.summary(2000)).toEqual({
      steps: 2,
      tokensPerSecond: 30,
      stepsPerSecond: 4,
      tokensPerStep: 7.5,
      rowsPerStep: 32,
      budgetUse: 0.5,
      acceptance: 0.5,
    })
  })

  it('is all zero when nothing ran', () => {
    const window = new StepWindow(1000)
    window.add(record({ baseRows: 4 }), 0)
    expect(window.summary(5000)).toEqual({
      steps: 0,
      tokensPerSecond: 0,
      stepsPerSecond: 0,
      tokensPerStep: 0,
      rowsPerStep: 0,
      budgetUse: 0,
      acceptance: 0,
    })
  })
})
