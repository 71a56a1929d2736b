/**
 * Counterparts of vLLM's scheduler tests, written from what they say they test, with their numbers; the vLLM name stands in
 * brackets. `test/node/invariants.md` lists those that stand elsewhere and those that do not apply.
 */

import { describe, expect, it } from 'vitest'
import { validateEngineLimits, validateRequest } from '../../../../src/core/limits.ts'
import type { SchedulerOutput } from '../../../../src/core/schedule/schedulerOutput.ts'
import { engineOptions, GREEDY, mtp, promptOf } from '../../../helpers/coreFixtures.ts'
import { idsOf, rowsById, rowsOf, SchedulerRig } from '../../../helpers/schedulerRig.ts'

const NO_DRAFTS = { speculative: undefined } as const

function rigOf(changes: Parameters<typeof engineOptions>[0] = {}): SchedulerRig {
  return new SchedulerRig(
    engineOptions({ ...NO_DRAFTS, maxNumBatchedTokens: 1024, maxModelLen: 1024, kvCacheTokens: 16_384, ...changes }),
  )
}

/** Steps with `depth` of them in flight until nothing is left; `each` is called before a step settles. */
function pipeline(rig: SchedulerRig, depth: number, each: () => void = () => {}): SchedulerOutput[] {
  const inFlight: SchedulerOutput[] = []
  const all: SchedulerOutput[] = []
  while (rig.scheduler.hasUnfinished || inFlight.length > 0) {
    while (inFlight.length < depth && rig.scheduler.hasUnfinished) {
      const output = rig.scheduler.schedule()
      if (output.requests.length === 0) break
      inFlight.push(output)
      all.push(output)
    }
    each()
    const oldest = inFlight.shift()
    if (oldest) rig.settle(oldest)
  }
  return all
}

describe('schedule', () => {
  it.each([true, false])('takes ten short prompts into one step, prefix caching %s [test_schedule]', (caching) => {
    const rig = rigOf({ maxNumSeqs: 16, enablePrefixCaching: caching })
    for (let id = 0; id < 10; id++) rig.add(id, 10, 4)
    const output = rig.step()
    expect(rowsById(output)).toEqual(Object.fromEntries(Array.from({ length: 10 }, (_, id) => [id, 10])))
    expect(output.requests.every(({ admitted, samples }) => admitted && samples)).toBe(true)
    expect(rig.waitingIds).toEqual([])
    expect(rig.runningIds).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  })

  it('cuts the second of two prompts of 800 rather than let a short one pass [test_schedule_order]', () => {
    const rig = rigOf({ maxNumSeqs: 3 })
    for (const [id, length] of [800, 800, 10, 10].entries()) rig.add(id, length, 4)
    expect(rowsById(rig.step())).toEqual({ 0: 800, 1: 224 })
    expect(rowsById(rig.step())).toEqual({ 0: 1, 1: 576, 2: 10 })
  })

  it('goes on with one request while another is in flight [test_schedule_concurrent_batches]', () => {
    const rig = rigOf({ maxNumSeqs: 2 })
    rig.add(0, 512, 4)
    const first = rig.scheduler.schedule()
    rig.add(1, 512, 4)
    const second = rig.scheduler.schedule()
    expect([first, second].map((output) => rowsById(output)[output === first ? 0 : 1])).toEqual([512, 512])
    rig.settle(first)
    const third = rig.scheduler.schedule()
    expect(rowsById(third)[0]).toBe(1)
    rig.settle(second)
    rig.settle(third)
    rig.drain()
  })

  it('holds the order of those that were passed over [test_prepend_skipped_requests_order]', () => {
    const rig = rigOf({ maxModelLen: 160, kvCacheTokens: 160, maxNumSeqs: 8 })
    rig.add(0, 65, 40)
    rig.step()
    for (let id = 1; id <= 3; id++) rig.add(id, 128, 4)
    rig.add(4, 4, 1)
    rig.add(5, 128, 4)
    expect(idsOf(rig.step())).toEqual([0, 4])
    expect(rig.waitingIds).toEqual([1, 2, 3, 5])
  })

  it('holds the order of those passed over for different reasons [test_fcfs_mixed_skipped_waiting_types_keep_order]', () => {
    // For blocks, for a prefix that is being computed, for prompts under way.
    const rig = rigOf({
      ...{ maxModelLen: 256, kvCacheTokens: 288, maxNumSeqs: 8, maxNumBatchedTokens: 64 },
      ...{ longPrefillTokenThreshold: 20, maxNumPartialPrefills: 1 },
    })
    const shared = promptOf(100, 7)
    rig.add(0, 0, 4, { promptTokenIds: [...shared, 1] })
    rig.add(1, 250, 4)
    rig.add(2, 0, 4, { promptTokenIds: [...shared, 2] })
    rig.add(3, 60, 4)
    rig.add(4, 5, 4)
    expect(idsOf(rig.step())).toEqual([0, 4])
    expect(rig.waitingIds).toEqual([1, 2, 3])
    rig.drain()
  })

  it('leaves nothing behind when all have ended [test_memory_leak]', () => {
    const rig = rigOf({ maxNumSeqs: 8 })
    for (let round = 0; round < 4; round++) {
      for (let id = 0; id < 10; id++) rig.add(100 * round + id, 30 + id, 10)
      rig.drain()
      expect(rig.scheduler.hasUnfinished).toBe(false)
      expect(rig.scheduler.kv.usedBlocks).toBe(0)
      expect(rig.scheduler.kv.blockOwners().every((owner) => owner < 0)).toBe(true)
    }
  })

  it('finds nothing cached after a reset, and what came after it again [test_scheduler_reset_prefix_cache]', () => {
    const rig = rigOf()
    const prompt = { promptTokenIds: promptOf(100, 7) }
    const cached = (id: number): number => {
      rig.add(id, 0, 1, prompt)
      return rig.step().cachedTokens
    }
    expect([cached(0), cached(1)]).toEqual([0, 96])
    rig.scheduler.resetPrefixCache()
    expect([cached(2), cached(3)]).toEqual([0, 96])
  })
})

describe('steps in flight', () => {
  it('find nobody for an answer to a request that was preempted and came in again meanwhile (26)', () => {
    const rig = rigOf({ maxNumSeqs: 2, maxModelLen: 160, kvCacheTokens: 160, enablePrefixCaching: false })
    rig.add(0, 80, 20)
    const other = rig.add(1, 80, 20)
    const stale = rig.scheduler.schedule().requests[1]?.running.generation ?? -1
    expect(rig.scheduler.schedule().preempted.map(({ request }) => request)).toEqual([other])
    rig.scheduler.remove(0)
    const [again] = rig.scheduler.schedule().requests
    expect(again?.running.request).toBe(other)
    expect(rig.scheduler.find(1, again?.running.generation ?? -1)).toBe(again?.running)
    expect(rig.scheduler.find(1, stale)).toBeUndefined()
  })

  it('drop the answer of a request that was preempted meanwhile [test_preempt_during_execution] [async test_preempt]', () => {
    // Two prompts of five blocks in ten.
    const rig = rigOf({ maxNumSeqs: 2, maxModelLen: 160, kvCacheTokens: 160, enablePrefixCaching: false })
    rig.add(0, 80, 20)
    const other = rig.add(1, 80, 20)
    const first = rig.scheduler.schedule()
    expect(idsOf(first)).toEqual([0, 1])
    const second = rig.scheduler.schedule()
    expect(second.preempted.map(({ request }) => request.id)).toEqual([1])
    rig.settle(first)
    rig.settle(second)
    expect(other.outputLength).toBe(0)
    expect(rig.waitingIds).toEqual([1])
    rig.drain()
    expect(other.outputLength).toBe(20)
  })

  it.each([1, 2, 3, 5])('run no row too many for %i tokens [async test_stop_by_max_tokens]', (maxTokens) => {
    const rig = rigOf({ maxNumSeqs: 2 })
    const requests = [0, 1].map((id) => rig.add(id, 10, maxTokens))
    const rows = pipeline(rig, 2).reduce((sum, output) => sum + rowsOf(output), 0)
    expect(requests.map(({ outputLength }) => outputLength)).toEqual([maxTokens, maxTokens])
    expect(rows).toBe(2 * (10 + maxTokens - 1))
  })

  it('may lose their requests one after another, each with what it had said by then [async test_abort]', () => {
    const rig = rigOf({ maxNumSeqs: 16 })
    const requests = Array.from({ length: 10 }, (_, id) => rig.add(id, 10, 20))
    const order = [0, 8, 3, 1, 6, 4, 2, 5, 7, 9]
    let next = 0
    pipeline(rig, 2, () => rig.scheduler.remove(order[next++] ?? -1))
    expect(requests.map(({ outputLength }) => outputLength)).toEqual(requests.map(({ id }) => order.indexOf(id)))
    expect(rig.scheduler.kv.usedBlocks).toBe(0)
  })

  it('compute one prompt once for all who have it [async test_prefix_caching_for_prefill_dedup]', () => {
    const rig = rigOf({ maxNumBatchedTokens: 1000, maxNumSeqs: 16 })
    const prompt = { promptTokenIds: promptOf(100, 7) }
    for (let id = 0; id < 5; id++) rig.add(id, 0, 3, prompt)
    const outputs = pipeline(rig, 2)
    const prefills = outputs.flatMap(({ requests }) => requests.filter(({ prefill }) => prefill))
    // 100 of the first; of the others what is left of whole blocks.
    expect(prefills.map(({ running, n }) => [running.request.id, n])).toEqual([
      [0, 100],
      ...[1, 2, 3, 4].map((id) => [id, 100 % 16]),
    ])
  })

  it('leave each turn to the next one in the cache [async test_prefix_caching_for_multi_turn]', () => {
    const rig = rigOf({ maxNumBatchedTokens: 1000, maxNumSeqs: 8 })
    const requests = Array.from({ length: 5 }, (_, id) => rig.add(id, 100, 200))
    pipeline(rig, 2)
    for (const { id, tokens } of requests) rig.add(10 + id, 0, 200, { promptTokenIds: [...tokens, 1] })
    // 300 tokens, of which the last was never computed.
    expect(rowsById(rig.step())).toEqual(Object.fromEntries(requests.map(({ id }) => [10 + id, 301 - 288])))
  })
})

describe('a pool as small as start-up allows', () => {
  const window = { maxNumSeqs: 1, maxNumBatchedTokens: 256, maxModelLen: 1024, speculative: mtp(3) }
  const model = { drafter: true, maxPositions: 4096 }

  it('has a block for every token of the window: none is reserved [test_max_servable_num_tokens_reserves_the_null_block]', () => {
    validateEngineLimits(engineOptions({ ...window, kvCacheTokens: 1024 }), model)
    expect(() => validateEngineLimits(engineOptions({ ...window, kvCacheTokens: 1008 }), model)).toThrow('maxModelLen')
    expect(rigOf({ ...window, kvCacheTokens: 1024 }).scheduler.kv.freeBlocks).toBe(64)
  })

  it('refuses at once what it can never hold [test_unservable_request_is_failed_not_prefilled_and_retried] [test_request_at_the_bound_is_failed_because_it_needs_an_output_slot]', () => {
    const options = engineOptions({ ...window, kvCacheTokens: 1008 })
    const request = { maxTokens: 1, sampling: GREEDY, priority: 0, cacheSalt: undefined }
    const check = (tokens: number) => () =>
      validateRequest({ ...request, promptTokenIds: promptOf(tokens, 0) }, options, 1000)
    for (const tokens of [1023, 1008]) {
      expect(check(tokens)).toThrow(expect.objectContaining({ code: 'UNSERVABLE_REQUEST' }))
    }
    check(1007)()
    expect(() => rigOf({ ...window, kvCacheTokens: 1024 }).add(0, 1030, 1)).toThrow()
  })

  it.each([
    [1023, 1, 'test_pool_with_headroom_serves_the_whole_window'],
    [1007, 1, 'test_servable_request_at_the_same_pool_still_runs'],
    [1000, 24, 'test_generation_is_not_capped_when_the_pool_covers_the_window'],
  ])('runs a prompt of %i to its last of %i tokens, never preempted [%s]', (length, maxTokens) => {
    for (const right of [0, 3]) {
      const rig = rigOf({ ...window, kvCacheTokens: 1024 })
      const request = rig.add(0, length, maxTokens)
      const outputs = rig.drain((k) => Math.min(k, right))
      expect(outputs.flatMap(({ preempted }) => preempted)).toEqual([])
      expect(request.outputLength).toBe(maxTokens)
    }
  })

  it('ends at the window what would grow past it [test_generation_stops_at_the_bound_instead_of_stalling_mid_decode]', () => {
    const rig = rigOf({ ...window, kvCacheTokens: 1024 })
    const request = rig.add(0, 1000, 100)
    const outputs = rig.drain((k) => k)
    expect(request.tokens.length).toBe(1024)
    expect(outputs.flatMap(({ preempted }) => preempted)).toEqual([])
  })
})
