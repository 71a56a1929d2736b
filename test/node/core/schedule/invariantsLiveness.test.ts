/** Laws of order, preemption and progress. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BLOCK_SIZE } from '../../../../src/core/cost.ts'
import { compareSchedulingOrder } from '../../../../src/core/schedule/schedulingState.ts'
import { MAX_PREEMPTIONS } from '../../../../src/core/schedule/victim.ts'
import { engineOptions, mtp, promptOf } from '../../../helpers/coreFixtures.ts'
import { crowdedWorkloads, mostSteps, play } from '../../../helpers/crowdedWorkloads.ts'
import { idsOf, SchedulerRig, sharesOf } from '../../../helpers/schedulerRig.ts'

describe('progress', () => {
  it('is made in every step, and everybody is done in bounded time (43)', () => {
    const seen = { preemptions: 0, most: 0 }
    fc.assert(
      fc.property(crowdedWorkloads, (workload) => {
        let steps = 0
        // Playing it fails at `mostSteps`.
        const rig = play(workload, (_rig, { requests, preempted }) => {
          steps++
          expect(requests.length).toBeGreaterThan(0)
          seen.preemptions += preempted.length
        })
        seen.most = Math.max(seen.most, steps / mostSteps(workload))
        expect(rig.scheduler.kv.usedBlocks).toBe(0)
      }),
      { numRuns: 150 },
    )
    expect(seen.preemptions).toBeGreaterThan(100)
    expect(seen.most).toBeLessThan(1)
  })

  it('of whoever stands first is lost to a preemption P times at most: then others go (43)', () => {
    // It matters least, so it is the victim of all that come later, though it came first and stands first.
    const rig = new SchedulerRig(
      engineOptions({
        maxModelLen: 112,
        kvCacheTokens: 112,
        maxNumSeqs: 3,
        speculative: undefined,
        schedulingPolicy: 'priority',
        priorityAgingTokens: 1,
      }),
    )
    const first = rig.add(0, 20, 90, { priority: 5 })
    const victims: number[] = []
    for (let id = 1; first.outputLength < 90; id++) {
      if (rig.waitingIds.length < 3) rig.add(id, 14, 40)
      const before = rig.runningIds[0]
      const { preempted } = rig.step()
      if (before === 0) victims.push(...preempted.map(({ request }) => request.id))
      expect(id).toBeLessThan(1000)
    }
    expect(first.schedulingState.preemptions).toBe(MAX_PREEMPTIONS)
    const last = victims.lastIndexOf(0)
    expect(last).toBeGreaterThanOrEqual(0)
    expect(victims.length).toBeGreaterThan(last + 1)
  })

  it('of whoever stands first is never lost to a preemption oftener, in any workload (43)', () => {
    let firstLost = 0
    fc.assert(
      fc.property(crowdedWorkloads, (workload) => {
        let first: number | undefined
        let preemptions = 0
        play(
          workload,
          (_rig, { preempted }) => {
            if (!preempted.some(({ request }) => request.id === first)) return
            expect(preemptions).toBeLessThan(MAX_PREEMPTIONS)
            firstLost++
          },
          ({ scheduler }) => {
            const request = scheduler.running[0]?.request
            first = request?.id
            preemptions = request?.schedulingState.preemptions ?? 0
          },
        )
      }),
      { numRuns: 100 },
    )
    expect(firstLost).toBeGreaterThan(5)
  })
})

describe('order', () => {
  it('of those that run and of those that wait is the scheduling order, ties by arrival, in every step (44)', () => {
    fc.assert(
      fc.property(crowdedWorkloads, (workload) => {
        play(workload, ({ scheduler }) => {
          for (const requests of [scheduler.running.map(({ request }) => request), [...scheduler.waiting]]) {
            const sorted = requests.toSorted((a, b) => compareSchedulingOrder(a.schedulingState, b.schedulingState))
            expect(requests.map(({ id }) => id)).toEqual(sorted.map(({ id }) => id))
          }
        })
      }),
      { numRuns: 80 },
    )
  })
})

describe('a victim', () => {
  /**
   * Three requests decode in six blocks, all taken, and the one at `asks` needs a third block. The one at `victim` matters least,
   * but stands where it does because it came when it did.
   */
  function threeOf(asks: number, victim: number): SchedulerRig {
    const rig = new SchedulerRig(
      engineOptions({
        maxModelLen: 96,
        kvCacheTokens: 96,
        maxNumSeqs: 3,
        speculative: undefined,
        enablePrefixCaching: false,
        schedulingPolicy: 'priority',
        priorityAgingTokens: 1,
      }),
    )
    for (const id of [0, 1, 2]) {
      // Computed tokens after the third step: 32 of the one that asks, 22 of the others.
      const length = (id === asks ? 32 : 22) - (2 - id)
      rig.add(id, length, 30, { promptTokenIds: promptOf(length, id), priority: id === victim ? 5 : 0 })
      rig.step()
    }
    expect(rig.runningIds).toEqual([0, 1, 2])
    expect(rig.scheduler.kv.freeBlocks).toBe(0)
    return rig
  }

  const places = [0, 1, 2].flatMap((asks) => [0, 1, 2].map((victim) => ({ asks, victim })))

  it.each(places)(
    'at place $victim is as if it had never been there for the one that asks at place $asks (11) (44)',
    (at) => {
      const rig = threeOf(at.asks, at.victim)
      const output = rig.step()
      expect(output.preempted.map(({ request }) => request.id)).toEqual([at.victim])
      expect(idsOf(output)).toEqual([0, 1, 2].filter((id) => id !== at.victim))
      expect(rig.waitingIds).toEqual([at.victim])
      const twin = threeOf(at.asks, at.victim)
      twin.scheduler.remove(at.victim)
      expect(sharesOf(output)).toEqual(sharesOf(twin.step()))
    },
  )

  it('may be the one that asks: it gives way, and the others lose nothing (44)', () => {
    const rig = threeOf(1, 1)
    expect(sharesOf(rig.step())).toMatchObject([
      { id: 0, n: 1, newBlocks: 0 },
      { id: 2, n: 1, newBlocks: 0 },
    ])
  })

  it('leaves nobody out: all the others that run have rows in that very step, in their order (44)', () => {
    let checked = 0
    fc.assert(
      fc.property(crowdedWorkloads, (workload) => {
        play(workload, (rig, output) => {
          if (output.preempted.length === 0) return
          const decoding = output.requests.filter(({ prefill }) => !prefill).map(({ running }) => running.request.id)
          const prompts = output.requests.filter(({ prefill }) => prefill).map(({ running }) => running.request.id)
          expect(decoding).toEqual(rig.runningIds.filter((id) => decoding.includes(id)))
          expect(prompts).toEqual(rig.runningIds.filter((id) => !decoding.includes(id)))
          checked++
        })
      }),
      { numRuns: 100 },
    )
    expect(checked).toBeGreaterThan(50)
  })

  it('gives back just what the step needs: nobody else is preempted with it', () => {
    fc.assert(
      fc.property(crowdedWorkloads, (workload) => {
        const options = { ...workload.options, enablePrefixCaching: false, speculative: undefined }
        let decoders: { id: number; missing: number; blocks: number }[] = []
        let free = 0
        play(
          { ...workload, options },
          (_rig, { preempted }) => {
            // Before the last victim went, the others' rows did not fit.
            for (const [i] of preempted.entries()) {
              const gone = new Set(preempted.slice(0, i).map(({ request }) => request.id))
              const left = decoders.filter(({ id }) => !gone.has(id))
              const freed = decoders.filter(({ id }) => gone.has(id)).reduce((sum, { blocks }) => sum + blocks, 0)
              expect(left.reduce((sum, { missing }) => sum + missing, 0)).toBeGreaterThan(free + freed)
            }
          },
          ({ scheduler: { running, kv } }) => {
            free = kv.freeBlocks
            decoders = running.map((one) => ({
              id: one.request.id,
              missing: one.missingBlocks(one.decodeReady ? one.computed + 1 : one.prefillEnd),
              blocks: kv.table(one.request.id).length,
            }))
          },
        )
      }),
      { numRuns: 80 },
    )
  })
})

describe('a request that does not fit', () => {
  it('comes in when those that run have ended, though small ones keep coming (45)', () => {
    const sizes = fc.record({
      blocks: fc.integer({ min: 4, max: 10 }),
      S: fc.integer({ min: 1, max: 6 }),
      drafts: fc.nat(4),
      before: fc.nat(8),
    })
    fc.assert(
      fc.property(sizes, ({ blocks, S, drafts, before }) => {
        const total = blocks * BLOCK_SIZE
        const rig = new SchedulerRig(
          engineOptions({
            maxNumSeqs: S,
            maxNumBatchedTokens: 64,
            maxModelLen: total,
            kvCacheTokens: total,
            speculative: mtp(drafts),
          }),
        )
        const BIG = 1_000_000
        let steps = 0
        for (let id = 0; id === 0 || steps < before || rig.scheduler.hasUnfinished; id++, steps++) {
          if (steps === before) rig.add(BIG, total - 4, 4)
          rig.add(id, 20, 4)
          const ends = rig.runningIds.includes(BIG)
          rig.step()
          if (ends && !rig.runningIds.includes(BIG)) break
          // Everybody who came before it, eight who pass it, and itself, one row a step.
          expect(steps).toBeLessThan((before + 1 + 8) * 24 + total + 8 * 24)
        }
        expect(rig.waitingIds).not.toContain(BIG)
      }),
      { numRuns: 60 },
    )
  })

  it('is not passed for ever by those whose prefix is cached (45)', () => {
    const rig = new SchedulerRig(
      engineOptions({ maxModelLen: 112, kvCacheTokens: 160, maxNumSeqs: 4, speculative: undefined }),
    )
    const hot = promptOf(64, 7)
    rig.add(0, 0, 20, { promptTokenIds: [...hot, 1] })
    rig.step()
    rig.step()
    // Eight blocks of its own; the hot ones hold four together and take one more each.
    rig.add(1, 112 - 4, 4)
    let passed = 0
    for (let id = 2; !rig.runningIds.includes(1); id++) {
      rig.add(id, 0, 20, { promptTokenIds: [...hot, id] })
      passed += rig.step().requests.filter(({ admitted, running }) => admitted && running.request.id > 1).length
      expect(id).toBeLessThan(200)
    }
    expect(passed).toBe(8)
  })
})
