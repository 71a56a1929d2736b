/** Who comes in, who waits and why, and who may pass whom. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { admissionBlocks, BLOCK_SIZE, servable, watermarkBlocks } from '../../../../src/core/cost.ts'
import { MAX_OVERTAKES } from '../../../../src/core/schedule/admission.ts'
import type { WaitReason } from '../../../../src/core/schedule/schedulerOutput.ts'
import { compareSchedulingOrder } from '../../../../src/core/schedule/schedulingState.ts'
import { engineOptions, mtp, promptOf } from '../../../helpers/coreFixtures.ts'
import { crowdedWorkloads, play } from '../../../helpers/crowdedWorkloads.ts'
import { decodingRig, idsOf, SchedulerRig } from '../../../helpers/schedulerRig.ts'

const NO_DRAFTS = { speculative: undefined } as const

describe('one formula', () => {
  const pools = fc.record({
    blocks: fc.integer({ min: 1, max: 12 }),
    watermark: fc.double({ min: 0, max: 0.99, noNaN: true }),
    drafts: fc.nat(4),
    S: fc.integer({ min: 1, max: 4 }),
    moreRows: fc.nat(40),
    maxNumPartialPrefills: fc.nat(2),
    longPrefillTokenThreshold: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 30 })),
    prompt: fc.nat(),
    output: fc.nat(),
  })

  it('servable means: admitted at once when alone, at any length it can reach, and run to the end unpreempted (41) (42)', () => {
    let atTheBound = 0
    fc.assert(
      fc.property(pools, ({ blocks, drafts, S, moreRows, prompt, output, ...rest }) => {
        const total = blocks * BLOCK_SIZE
        const options = engineOptions({
          ...rest,
          maxNumSeqs: S,
          maxNumBatchedTokens: S + moreRows,
          maxModelLen: total,
          kvCacheTokens: total,
          speculative: mtp(drafts),
        })
        const length = 1 + (prompt % (total - 1))
        const maxTokens = 1 + (output % (total - length))
        if (length + maxTokens === total) atTheBound++
        expect(servable(length + maxTokens, options)).toBe(true)
        // Known tokens when it comes in: its prompt, or all it can have said before a preemption.
        for (const known of [length, length + maxTokens - 1]) {
          const rig = new SchedulerRig(options)
          // What others left in the cache takes no room away from it.
          rig.add(0, Math.max(1, total - 20), 5)
          rig.drain((k) => k)
          const request = rig.add(1, length, maxTokens)
          request.tokens.push(...promptOf(known - length, 5))
          expect(idsOf(rig.step())).toEqual([1])
          for (const { preempted } of rig.drain((k) => k >> 1)) expect(preempted).toEqual([])
          expect(request.tokens.length).toBe(request.maxTotal)
        }
      }),
      { numRuns: 150 },
    )
    expect(atTheBound).toBeGreaterThan(0)
  })

  it('is what servable asks for a request that is alone, watermark or not (42)', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 400 }), fc.integer({ min: 1, max: 20 }), (tokens, blocks) => {
        for (const watermark of [0, 0.5, 0.99]) {
          const options = { kvCacheTokens: blocks * BLOCK_SIZE, watermark }
          expect(servable(tokens, options)).toBe(admissionBlocks(tokens, 0, options) <= blocks)
          expect(servable(tokens, options)).toBe(tokens <= blocks * BLOCK_SIZE)
        }
      }),
    )
  })

  it('counts the whole known sequence, beside what prompts under way still need, and the watermark', () => {
    let tight = 0
    fc.assert(
      fc.property(crowdedWorkloads, (workload) => {
        const options = { ...workload.options, speculative: undefined }
        play({ ...workload, options }, ({ scheduler }, { requests }) => {
          if (!requests.some(({ admitted }) => admitted)) return
          const promised = scheduler.running.reduce((sum, running) => {
            const unfinished = running.prefillRemaining > 0
            return sum + (unfinished ? running.missingBlocks(running.prefillEnd) : 0)
          }, 0)
          const spare = scheduler.running.length > 1 ? watermarkBlocks(options) : 0
          expect(scheduler.kv.freeBlocks).toBeGreaterThanOrEqual(promised + spare)
          if (promised > 0 && scheduler.kv.freeBlocks < promised + spare + 2) tight++
        })
      }),
      { numRuns: 100 },
    )
    expect(tight).toBeGreaterThan(10)
  })

  it('keeps the watermark free beside others, and not for one that is alone', () => {
    // 10 blocks, 3 of them kept free.
    const options = { ...NO_DRAFTS, maxModelLen: 160, kvCacheTokens: 160, watermark: 0.3, maxNumBatchedTokens: 160 }
    for (const [blocks, together] of [
      [4, true],
      [5, false],
    ] as const) {
      const rig = new SchedulerRig(engineOptions(options))
      rig.add(0, 40, 2)
      rig.add(1, blocks * BLOCK_SIZE, 1)
      expect(idsOf(rig.step())).toEqual(together ? [0, 1] : [0])
    }
    const alone = new SchedulerRig(engineOptions(options))
    alone.add(0, 159, 1)
    expect(idsOf(alone.step())).toEqual([0])
  })
})

describe('why a request waits', () => {
  const options = { ...NO_DRAFTS, maxModelLen: 256, kvCacheTokens: 512, enablePrefixCaching: false }

  /** What keeps request 9 out of the next step. */
  function reason(rig: SchedulerRig, promptLength: number): WaitReason | undefined {
    rig.add(9, promptLength, 4)
    const { firstWaiting } = rig.step()
    if (firstWaiting) expect(firstWaiting.request.id).toBe(9)
    return firstWaiting?.reason
  }

  it('is told: rows, slots, blocks, prompts under way, or nothing', () => {
    expect(reason(decodingRig(2, options), 10)).toBeUndefined()
    expect(reason(decodingRig(2, { ...options, maxNumSeqs: 2 }), 10)).toBe('slots')
    expect(reason(decodingRig(2, { ...options, kvCacheTokens: 256 }), 250)).toBe('blocks')
    const rows = new SchedulerRig(engineOptions({ ...options, maxNumBatchedTokens: 16 }))
    rows.add(0, 40, 4)
    expect(reason(rows, 10)).toBe('rows')
    const partial = { ...options, maxNumPartialPrefills: 1, longPrefillTokenThreshold: 16 }
    const prompts = new SchedulerRig(engineOptions(partial))
    prompts.add(0, 100, 4)
    expect(reason(prompts, 17)).toBe('partialPrefills')
  })

  it('is the preemption in a step in which somebody was preempted: nobody comes in', () => {
    let preempting = 0
    fc.assert(
      fc.property(crowdedWorkloads, (workload) => {
        play(workload, (_rig, { preempted, requests, firstWaiting }) => {
          if (preempted.length === 0) return
          preempting++
          expect(firstWaiting?.reason).toBe('preemption')
          expect(requests.every(({ admitted }) => !admitted)).toBe(true)
        })
      }),
      { numRuns: 60 },
    )
    expect(preempting).toBeGreaterThan(10)
  })
})

describe('bounded overtaking', () => {
  /** Ten blocks, of which request 0 holds five for a long time; request 1 wants eight. */
  function blockedHead(): SchedulerRig {
    const rig = new SchedulerRig(
      engineOptions({ ...NO_DRAFTS, maxNumBatchedTokens: 256, maxModelLen: 160, kvCacheTokens: 160 }),
    )
    rig.add(0, 65, 15)
    rig.step()
    rig.add(1, 128, 1)
    return rig
  }

  it('lets 8 requests pass one that finds no blocks, and then nobody before it has come in (45)', () => {
    const rig = blockedHead()
    for (let id = 2; id < 30; id++) rig.add(id, 4, 1)
    const order: number[] = []
    while (rig.scheduler.hasUnfinished) {
      for (const { admitted, running } of rig.step().requests) if (admitted) order.push(running.request.id)
    }
    expect(order.slice(0, MAX_OVERTAKES + 2)).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 1, 10])
  })

  it('looks past a few that do not fit, not past any number of them', () => {
    for (const [blocked, comesIn] of [
      [MAX_OVERTAKES - 1, true],
      [MAX_OVERTAKES + 1, false],
    ] as const) {
      const rig = blockedHead()
      for (let id = 2; id <= blocked; id++) rig.add(id, 128, 1)
      rig.add(99, 4, 1)
      expect(idsOf(rig.step()).includes(99)).toBe(comesIn)
    }
  })

  it('is bounded for each request over all its life, whatever keeps it out (45)', () => {
    let most = 0
    fc.assert(
      fc.property(crowdedWorkloads, (workload) => {
        const passed = new Map<number, number>()
        play(workload, ({ scheduler }, { requests }) => {
          const admitted = requests
            .filter((share) => share.admitted)
            .map(({ running }) => running.request.schedulingState)
          for (const { id, schedulingState } of scheduler.waiting) {
            const later = admitted.filter((other) => compareSchedulingOrder(schedulingState, other) < 0).length
            passed.set(id, (passed.get(id) ?? 0) + later)
          }
        })
        most = Math.max(most, ...passed.values())
        expect(most).toBeLessThanOrEqual(MAX_OVERTAKES)
      }),
      { numRuns: 150 },
    )
    expect(most).toBeGreaterThan(1)
  })
})

describe('maxNumPartialPrefills', () => {
  it('bounds the unfinished prompts at the end of every step (43)', () => {
    let reached = 0
    fc.assert(
      fc.property(crowdedWorkloads, fc.integer({ min: 1, max: 2 }), (workload, limit) => {
        const options = { ...workload.options, maxNumPartialPrefills: limit }
        play({ ...workload, options }, ({ scheduler }) => {
          const unfinished = scheduler.running.filter((running) => running.prefillRemaining > 0).length
          expect(unfinished).toBeLessThanOrEqual(limit)
          if (unfinished === limit) reached++
        })
      }),
      { numRuns: 100 },
    )
    expect(reached).toBeGreaterThan(50)
  })

  it('lets a short prompt that fits into the step pass a long one', () => {
    const options = { ...NO_DRAFTS, maxNumPartialPrefills: 1, longPrefillTokenThreshold: 40, maxModelLen: 256 }
    const rig = new SchedulerRig(engineOptions(options))
    for (const [id, length] of [200, 200, 10].entries()) rig.add(id, length, 4)
    expect(rig.step().requests.map(({ running, n, samples }) => [running.request.id, n, samples])).toEqual([
      [0, 40, false],
      [2, 10, true],
    ])
    expect(rig.waitingIds).toEqual([1])
    while (!rig.runningIds.includes(1)) rig.step()
    expect(rig.scheduler.running[0]?.prefillRemaining).toBe(0)
  })

  it('is no bound at 0', () => {
    const rig = new SchedulerRig(
      engineOptions({ ...NO_DRAFTS, longPrefillTokenThreshold: 8, maxNumPartialPrefills: 0 }),
    )
    for (let id = 0; id < 8; id++) rig.add(id, 100, 4)
    rig.step()
    expect(rig.scheduler.running.filter((running) => running.prefillRemaining > 0).length).toBe(8)
  })
})
