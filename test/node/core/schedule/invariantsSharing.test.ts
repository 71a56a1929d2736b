/** Prefixes that are shared: one request computes what several need, and what is cached costs no rows. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BLOCK_SIZE } from '../../../../src/core/cost.ts'
import { MAX_OVERTAKES } from '../../../../src/core/schedule/admission.ts'
import type { ScheduledRequest, SchedulerOutput } from '../../../../src/core/schedule/schedulerOutput.ts'
import type { EngineOptions } from '../../../../src/protocol/engineOptions.ts'
import { engineOptions, mtp, promptOf } from '../../../helpers/coreFixtures.ts'
import { crowdedWorkloads, play } from '../../../helpers/crowdedWorkloads.ts'
import { idsOf, rowsById, SchedulerRig } from '../../../helpers/schedulerRig.ts'

function rigOf(changes: Partial<EngineOptions> = {}): SchedulerRig {
  return new SchedulerRig(engineOptions({ speculative: undefined, ...changes }))
}

/** A hundred tokens: six whole blocks and four more. */
const PROMPT = { promptTokenIds: promptOf(100, 7) }

describe('what is cached', () => {
  it('shortens the prompt, and only rows that run are charged', () => {
    const rig = rigOf({ maxNumBatchedTokens: 256 })
    rig.add(0, 0, 1, PROMPT)
    expect(rig.step().rows).toMatchObject({ prefill: 100, charged: 100 })
    rig.add(1, 0, 1, PROMPT)
    const again = rig.step()
    expect(again).toMatchObject({ cachedTokens: 96, rows: { prefill: 4, charged: 4 } })
    expect(again.requests).toMatchObject([{ firstPosition: 96, n: 4, samples: true, firstBlock: 0 }])
    // All seven blocks are written to the table, also those that were there.
    expect(again.requests[0]?.newBlocks.length).toBe(7)
  })

  it('leaves of a prompt just the rows it did not cover, in every workload (16) (35)', () => {
    let cached = 0
    fc.assert(
      fc.property(crowdedWorkloads, (workload) => {
        const next = new Map<number, number>()
        play(workload, (_rig, { requests, cachedTokens }) => {
          const found = requests.filter(({ admitted }) => admitted)
          expect(cachedTokens).toBe(found.reduce((sum, { firstPosition }) => sum + firstPosition, 0))
          cached += cachedTokens
          for (const { running, prefill, admitted, firstPosition, n } of requests) {
            if (!prefill) continue
            const { generation, prefillEnd } = running
            if (admitted) expect(firstPosition % BLOCK_SIZE).toBe(0)
            else expect(firstPosition).toBe(next.get(generation))
            expect(firstPosition).toBeLessThan(prefillEnd)
            expect(firstPosition + n).toBeLessThanOrEqual(prefillEnd)
            next.set(generation, firstPosition + n)
          }
        })
      }),
      { numRuns: 100 },
    )
    expect(cached).toBeGreaterThan(1000)
  })

  it('brings a preempted request back: it recomputes less than it lost', () => {
    const totals = [true, false].map((enablePrefixCaching) => {
      const rig = rigOf({ enablePrefixCaching, maxModelLen: 160, kvCacheTokens: 192 })
      rig.add(0, 60, 70)
      rig.add(1, 60, 70)
      const steps = rig.drain()
      const lost = steps
        .flatMap(({ preempted }) => preempted)
        .reduce((sum, { tokensToRecompute }) => sum + tokensToRecompute, 0)
      return { lost, again: steps.reduce((sum, { recomputedTokens }) => sum + recomputedTokens, 0) }
    })
    const [cached, uncached] = totals
    expect(uncached?.lost).toBeGreaterThan(0)
    expect(uncached?.again).toBe(uncached?.lost)
    expect(cached?.lost).toBe(uncached?.lost)
    expect(cached?.again).toBeLessThan(cached?.lost ?? 0)
  })

  it('is another matter under another salt (34)', () => {
    const rig = rigOf({ maxNumBatchedTokens: 256 })
    rig.add(0, 0, 1, PROMPT)
    rig.step()
    rig.add(1, 0, 1, { ...PROMPT, cacheSalt: 'mine' })
    expect(rig.step()).toMatchObject({ cachedTokens: 0, rows: { prefill: 100 } })
  })
})

describe('of requests with one uncached prefix', () => {
  it('one goes first; the others come in after it and compute only their own', () => {
    const rig = rigOf({ maxNumBatchedTokens: 256, speculative: mtp(2) })
    for (let id = 0; id < 4; id++) rig.add(id, 0, 3, { promptTokenIds: [...promptOf(96, 7), 100 + id, id] })
    const first = rig.step()
    expect(rowsById(first)).toEqual({ 0: 98 })
    expect(first.firstWaiting).toMatchObject({ request: { id: 1 }, reason: 'sharedPrefix' })
    // With a drafter the sixth block depends on the token after it, which is each one's own.
    const second = rig.step()
    expect(second.requests.filter(({ admitted }) => admitted).map(({ firstPosition }) => firstPosition)).toEqual([
      80, 80, 80,
    ])
  })

  it('nobody waits for what another has in part computed already, or for one that only decodes', () => {
    const rig = rigOf({ maxNumBatchedTokens: 32, enablePrefixCaching: true })
    rig.add(0, 0, 9, PROMPT)
    rig.step()
    rig.add(1, 0, 1, { promptTokenIds: [...promptOf(32, 7), 5, 6, 7] })
    // It shares two blocks, both computed: nothing of it is under way.
    expect(rig.step().firstWaiting?.reason).not.toBe('sharedPrefix')
    while (rig.waitingIds.includes(1)) rig.step()
    expect(rig.runningIds).toContain(0)
  })

  it('others pass meanwhile, though no more than 8 of them (45)', () => {
    const rig = rigOf({ maxNumBatchedTokens: 32, maxNumSeqs: 16, longPrefillTokenThreshold: 1 })
    rig.add(0, 0, 1, PROMPT)
    rig.add(1, 0, 1, PROMPT)
    const passed: number[] = []
    for (let id = 10; rig.waitingIds.includes(1) || id === 10; id++) {
      rig.add(id, 1, 1)
      passed.push(...idsOf(rig.step()).filter((other) => other >= 10))
    }
    expect(passed.length).toBeGreaterThanOrEqual(MAX_OVERTAKES)
    expect(passed.slice(0, MAX_OVERTAKES)).toEqual([10, 11, 12, 13, 14, 15, 16, 17])
    // Then it does not wait for the prefix any longer, or the eight would have been passed in vain.
    expect(rig.runningIds).toEqual([0, 1])
    expect(rig.scheduler.running[0]?.computed).toBeLessThan(2 * BLOCK_SIZE)
  })

  it('another one goes first when the one that did is aborted', () => {
    const rig = rigOf({ maxNumBatchedTokens: 32 })
    for (const id of [0, 1, 2]) rig.add(id, 0, 1, PROMPT)
    expect(idsOf(rig.step())).toEqual([0])
    rig.scheduler.remove(0)
    const next = rig.step()
    // What was computed of it is still there.
    expect(next).toMatchObject({ cachedTokens: 32, requests: [{ running: { request: { id: 1 } } }] })
    expect(rig.waitingIds).toEqual([2])
    rig.drain()
  })

  it('another one goes first when the one that did is preempted and finds no room', () => {
    // Requests 0 and 1 grow by five tokens a step into the blocks that request 2 has yet to compute into.
    const rig = rigOf({
      ...{ maxModelLen: 256, kvCacheTokens: 24 * BLOCK_SIZE, maxNumBatchedTokens: 32, longPrefillTokenThreshold: 1 },
      ...{ speculative: mtp(4), schedulingPolicy: 'priority' },
    })
    rig.add(0, 15, 220)
    rig.add(1, 33, 220)
    while (rig.scheduler.running.length < 2 || rig.scheduler.running.some((one) => one.prefillRemaining > 0)) rig.step()
    rig.add(2, 200, 4, { promptTokenIds: promptOf(200, 7), priority: 1 })
    rig.add(3, 0, 4, { promptTokenIds: [...promptOf(64, 7), 1, 2, 3], priority: 1 })
    let output = rig.step((k) => k)
    expect(output.firstWaiting).toMatchObject({ request: { id: 3 }, reason: 'sharedPrefix' })
    while (output.preempted.length === 0) {
      expect(rig.waitingIds).toEqual([3])
      output = rig.step((k) => k)
    }
    expect(output.preempted.map(({ request }) => request.id)).toEqual([2])
    // Room for the shorter one of the two.
    rig.scheduler.remove(1)
    expect(idsOf(rig.step())).toEqual([0, 3])
    expect(rig.waitingIds).toEqual([2])
    rig.drain()
  })

  it('none is admitted beside another that is about to compute its next block, and none waits for ever (43)', () => {
    let waited = 0
    fc.assert(
      fc.property(crowdedWorkloads, (workload) => {
        const options = { ...workload.options, enablePrefixCaching: true }
        const lookahead = options.speculative === undefined ? 0 : 1
        play({ ...workload, options }, ({ scheduler }, output) => {
          if (output.firstWaiting?.reason === 'sharedPrefix') waited++
          for (const share of output.requests) {
            if (!share.admitted || share.running.request.schedulingState.overtaken >= MAX_OVERTAKES) continue
            const before = scheduler.running.filter((one) => !admittedAfter(one.request.id, share, output))
            for (const { request, computed, prefillEnd } of before) {
              if (request === share.running.request) continue
              const end = share.firstPosition + BLOCK_SIZE
              const computing = computed < prefillEnd && computed < end && request.tokens.length > end
              expect(computing && sameStart(request, share.running.request, end, lookahead)).toBe(false)
            }
          }
        })
      }),
      { numRuns: 250 },
    )
    expect(waited).toBeGreaterThan(10)
  })
})

/** Whether request `id` was admitted in this step, but later than the request of `share`. */
function admittedAfter(id: number, share: ScheduledRequest, { requests }: SchedulerOutput): boolean {
  const place = requests.findIndex(({ running, admitted }) => admitted && running.request.id === id)
  return place > requests.indexOf(share)
}

/** Whether two requests could share the block that ends at `end`. */
function sameStart(
  a: ScheduledRequest['running']['request'],
  b: ScheduledRequest['running']['request'],
  end: number,
  lookahead: number,
): boolean {
  if (a.spec.cacheSalt !== b.spec.cacheSalt || b.tokens.length <= end) return false
  return a.tokens.slice(0, end + lookahead).every((token, i) => token === b.tokens[i])
}
