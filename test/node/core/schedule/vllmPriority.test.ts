/** Counterparts of vLLM's tests of priority scheduling; the vLLM name stands in brackets. Lower numbers matter more. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { engineOptions } from '../../../helpers/coreFixtures.ts'
import { idsOf, SchedulerRig } from '../../../helpers/schedulerRig.ts'

function rigOf(changes: Parameters<typeof engineOptions>[0] = {}): SchedulerRig {
  return new SchedulerRig(
    engineOptions({
      speculative: undefined,
      maxNumBatchedTokens: 256,
      schedulingPolicy: 'priority',
      priorityAgingTokens: 2 ** 20,
      enablePrefixCaching: false,
      ...changes,
    }),
  )
}

/** Adds requests of these priorities, in this order. */
function addAll(rig: SchedulerRig, priorities: readonly number[], length = 10, maxTokens = 4): void {
  for (const [id, priority] of priorities.entries()) rig.add(id, length, maxTokens, { priority })
}

describe('those that wait', () => {
  it('come in by priority [test_priority_scheduling_basic_ordering]', () => {
    const rig = rigOf()
    addAll(rig, [2, 0, 1])
    expect(idsOf(rig.step())).toEqual([1, 2, 0])
  })

  it('of one priority come in by arrival [test_priority_scheduling_arrival_time_tiebreaker]', () => {
    const rig = rigOf()
    addAll(rig, [1, 1, 1])
    expect(idsOf(rig.step())).toEqual([0, 1, 2])
  })

  it('of some priorities come in by priority, then arrival [test_priority_scheduling_mixed_priority_and_arrival]', () => {
    const rig = rigOf()
    addAll(rig, [2, 1, 1, 0])
    expect(idsOf(rig.step())).toEqual([3, 1, 2, 0])
  })

  it('are in that order while all slots are taken [test_priority_scheduling_waiting_queue_order]', () => {
    const rig = rigOf({ maxNumSeqs: 1 })
    addAll(rig, [0, 3, 1, 2, 1])
    rig.step()
    expect(rig.runningIds).toEqual([0])
    expect(rig.waitingIds).toEqual([2, 4, 3, 1])
  })

  it('come in as slots come free, the best first [test_priority_scheduling_with_limited_slots]', () => {
    const rig = rigOf({ maxNumSeqs: 2 })
    addAll(rig, [3, 1, 2, 0], 10, 1)
    expect(idsOf(rig.step())).toEqual([3, 1])
    expect(idsOf(rig.step())).toEqual([2, 0])
  })

  it('of equal priorities are as under fcfs [test_priority_scheduling_fcfs_fallback]', () => {
    const ids = (['priority', 'fcfs'] as const).map((schedulingPolicy) => {
      const rig = rigOf({ schedulingPolicy, maxNumSeqs: 3, maxNumBatchedTokens: 16 })
      addAll(rig, [0, 0, 0, 0, 0], 12)
      return rig.drain().map(idsOf)
    })
    expect(ids[0]).toEqual(ids[1])
  })

  it('come in sorted whatever order they arrive in [test_priority_scheduling_heap_property]', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -10, max: 10 }), { minLength: 1, maxLength: 40 }), (priorities) => {
        const rig = rigOf({ maxNumSeqs: 1 })
        addAll(rig, priorities, 4, 1)
        const order = rig.drain().flatMap(idsOf)
        const expected = priorities.map((priority, id) => ({ priority, id }))
        expected.sort((a, b) => a.priority - b.priority || a.id - b.id)
        expect(order).toEqual(expected.map(({ id }) => id))
      }),
    )
  })
})

describe('those that run', () => {
  it('are all left alone while there is room [test_priority_scheduling_no_preemption_when_space_available]', () => {
    const rig = rigOf()
    addAll(rig, [5, 4], 30, 30)
    rig.step()
    rig.add(2, 30, 30, { priority: 0 })
    expect(rig.drain().flatMap(({ preempted }) => preempted)).toEqual([])
  })

  it('are left alone by one that waits, however much it matters', () => {
    const rig = rigOf({ maxModelLen: 96, kvCacheTokens: 96 })
    addAll(rig, [5, 5], 33, 8)
    rig.step()
    rig.add(2, 20, 4, { priority: -5 })
    expect(rig.step()).toMatchObject({ preempted: [], firstWaiting: { request: { id: 2 }, reason: 'blocks' } })
    expect(rig.drain().flatMap(({ preempted }) => preempted)).toEqual([])
  })

  it('lose the one of low priority when another one grows [test_priority_scheduling_preemption]', () => {
    // Both grow into a pool of six blocks; the one that came first matters less.
    const rig = rigOf({ maxModelLen: 96, kvCacheTokens: 96 })
    addAll(rig, [1, 0], 40, 30)
    const victims = rig.drain().flatMap(({ preempted }) => preempted.map(({ request }) => request.id))
    expect(victims.length).toBeGreaterThan(0)
    expect(new Set(victims)).toEqual(new Set([0]))
  })

  it('lose the lowest of several [test_priority_scheduling_preemption_victim_selection]', () => {
    const rig = rigOf({ maxModelLen: 96, kvCacheTokens: 96 })
    addAll(rig, [1, 3, 2], 30, 30)
    let output = rig.step()
    while (output.preempted.length === 0) output = rig.step()
    expect(output.preempted.map(({ request }) => request.id)).toEqual([1])
  })

  it('lose the later of two equals [test_priority_scheduling_equal_priority_preemption]', () => {
    const rig = rigOf({ maxModelLen: 96, kvCacheTokens: 96 })
    addAll(rig, [1, 1, 1], 30, 30)
    let output = rig.step()
    while (output.preempted.length === 0) output = rig.step()
    expect(output.preempted.map(({ request }) => request.id)).toEqual([2])
  })

  it('get a preempted one back when there is room, and it goes on where it was [test_priority_scheduling_preemption_and_resumption_when_out_of_kv]', () => {
    const rig = rigOf({ maxModelLen: 96, kvCacheTokens: 96 })
    const low = rig.add(0, 40, 30, { priority: 1 })
    const high = rig.add(1, 40, 30, { priority: 0 })
    let output = rig.step()
    while (output.preempted.length === 0) output = rig.step()
    const said = low.tokens.slice()
    expect(said.length).toBeGreaterThan(40)
    expect(idsOf(output)).toEqual([1])
    while (rig.waitingIds.includes(0)) output = rig.step()
    expect(high.outputLength).toBe(30)
    // All it had said is computed again, and only then does it say more.
    expect(output.requests).toMatchObject([{ admitted: true, firstPosition: 0, n: said.length, samples: true }])
    expect(output.recomputedTokens).toBe(said.length - 1)
    rig.drain()
    expect(low.outputLength).toBe(30)
    expect(low.tokens.slice(0, said.length)).toEqual(said)
  })
})
