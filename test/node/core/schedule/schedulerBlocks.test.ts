/** What a step does when KV blocks run short, and what it asks for when they do not. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BLOCK_SIZE } from '../../../../src/core/cost.ts'
import { compareSchedulingOrder } from '../../../../src/core/schedule/schedulingState.ts'
import { at } from '../../../../src/util/math.ts'
import { engineOptions, mtp } from '../../../helpers/coreFixtures.ts'
import { SchedulerRig, sharesOf } from '../../../helpers/schedulerRig.ts'
import { specOf, workloads } from '../../../helpers/workloads.ts'

describe('blocks', () => {
  it('takes look-ahead blocks for the drafts really proposed, never past the last position (15)', () => {
    const rig = new SchedulerRig(engineOptions({ speculative: mtp(4), maxModelLen: 256 }))
    rig.add(0, 14, 60)
    // Rows 0…13 and draft slots 14…16: two blocks.
    expect(rig.step().requests[0]?.newBlocks.length).toBe(2)
    const short = new SchedulerRig(engineOptions({ speculative: mtp(4), maxModelLen: 256 }))
    short.add(0, 14, 2)
    expect(short.step().requests[0]?.newBlocks.length).toBe(1)
  })

  it('gives up proposals, then drafts, before it preempts anybody', () => {
    // Two blocks: request 0 decodes from position 13 and would need a third block for its look-ahead.
    const rig = new SchedulerRig(
      engineOptions({
        speculative: mtp(4),
        maxModelLen: 32,
        kvCacheTokens: 48,
        maxNumSeqs: 3,
        maxNumBatchedTokens: 32,
      }),
    )
    rig.add(0, 10, 20)
    rig.add(1, 12, 20)
    rig.add(2, 12, 20)
    const seen: (readonly [number, number])[] = []
    for (let step = 0; step < 8; step++) {
      const output = rig.step()
      if (output.preempted.length > 0) break
      seen.push(...output.requests.filter(({ running }) => running.request.id === 0).map(({ k, m }) => [k, m] as const))
    }
    expect(seen).toContainEqual([4, 0])
    expect(seen).toContainEqual([0, 0])
  })

  it('takes back blocks for drafts from one request when another finds none for its base row', () => {
    const options = { speculative: mtp(4), maxModelLen: 32, kvCacheTokens: 48, maxNumSeqs: 2 }
    const rig = new SchedulerRig(engineOptions(options))
    rig.add(0, 12, 20)
    rig.add(1, 16, 2)
    expect(sharesOf(rig.step())).toMatchObject([{ newBlocks: 1 }, { newBlocks: 1 }])
    // One block is left. Request 0 could use it for its drafts; request 1 has no slot for its next row without it.
    const output = rig.step()
    expect(output.preempted).toEqual([])
    expect(sharesOf(output)).toMatchObject([
      { id: 0, n: 1, k: 0, m: 0, newBlocks: 0 },
      { id: 1, n: 1, newBlocks: 1 },
    ])
  })

  it('shrinks a chunk to the slots there are before it preempts anybody', () => {
    const options = { maxModelLen: 64, kvCacheTokens: 64, longPrefillTokenThreshold: 20, speculative: undefined }
    const rig = new SchedulerRig(engineOptions(options))
    rig.add(0, 16, 20)
    rig.add(1, 48, 1)
    expect(sharesOf(rig.step())).toMatchObject([{ n: 16 }, { n: 20 }])
    // Request 0 takes the last free block; 12 slots are left in the two of request 1.
    const output = rig.step()
    expect(sharesOf(output)).toMatchObject([{ n: 1 }, { n: 12, samples: false, newBlocks: 0 }])
    expect(output.preempted).toEqual([])
    expect(rig.step().preempted.map(({ request }) => request.id)).toEqual([0])
  })

  it('admits what fits beside what a running prompt still needs, and nothing more', () => {
    for (const [blocks, admitted] of [
      [6, true],
      [7, false],
    ] as const) {
      const rig = new SchedulerRig(
        engineOptions({ maxNumBatchedTokens: 48, maxModelLen: 160, kvCacheTokens: 160, speculative: undefined }),
      )
      rig.add(0, 64, 1)
      rig.add(1, blocks * BLOCK_SIZE, 1)
      expect(sharesOf(rig.step())).toMatchObject([{ id: 0, n: 48, newBlocks: 3 }])
      expect(rig.step().requests.some(({ running }) => running.request.id === 1)).toBe(admitted)
    }
  })

  it('plans a step with victims as if they had never been there (11) (44)', () => {
    let compared = 0
    const tight = fc.record({
      S: fc.integer({ min: 2, max: 6 }),
      moreRows: fc.nat(6),
      blocks: fc.integer({ min: 3, max: 10 }),
      prompts: fc.array(fc.record({ length: fc.integer({ min: 1, max: 30 }), priority: fc.nat(3) }), {
        minLength: 3,
        maxLength: 8,
      }),
      right: fc.nat(4),
      schedulingPolicy: fc.constantFrom('fcfs', 'priority'),
    })
    fc.assert(
      fc.property(tight, ({ S, moreRows, blocks, prompts, right, schedulingPolicy }) => {
        const options = engineOptions({
          schedulingPolicy,
          maxNumSeqs: S,
          maxNumBatchedTokens: S + moreRows,
          maxModelLen: 48,
          kvCacheTokens: blocks * BLOCK_SIZE,
          speculative: mtp(4),
        })
        const accepted = (k: number): number => Math.min(k, right)
        const begin = (): SchedulerRig => {
          const rig = new SchedulerRig(options)
          for (const [id, { length, priority }] of prompts.entries()) rig.add(id, length, 18, { priority })
          return rig
        }
        const rig = begin()
        for (let steps = 0; rig.scheduler.hasUnfinished; steps++) {
          const output = rig.step(accepted)
          if (output.preempted.length === 0) continue
          compared++
          const twin = begin()
          for (let step = 0; step < steps; step++) twin.step(accepted)
          for (const { request } of output.preempted) twin.scheduler.remove(request.id)
          for (const { id } of [...twin.scheduler.waiting]) twin.scheduler.remove(id)
          expect(sharesOf(twin.step(accepted))).toEqual(sharesOf(output))
        }
      }),
      { numRuns: 220 },
    )
    expect(compared).toBeGreaterThan(50)
  })

  it('keeps both queues in scheduling order, and lets nobody be overtaken more than 8 times (44) (45)', () => {
    let overtaken = 0
    fc.assert(
      fc.property(workloads, (workload) => {
        const rig = new SchedulerRig(workload.options)
        const states = workload.arrivals.map((_, id) => rig.scheduler.add(specOf(workload, id)).schedulingState)
        const before = (a: number, b: number): number => compareSchedulingOrder(at(states, a), at(states, b))
        const passed = new Map<number, number>()
        while (rig.scheduler.hasUnfinished) {
          const { requests } = rig.step()
          const { running, waiting } = rig.scheduler
          for (const ids of [running.map(({ request }) => request.id), [...waiting].map(({ id }) => id)]) {
            expect(ids).toEqual(ids.toSorted(before))
          }
          for (const { id } of waiting) {
            const later = requests.filter(
              ({ admitted, running }) => admitted && before(id, running.request.id) < 0,
            ).length
            passed.set(id, (passed.get(id) ?? 0) + later)
          }
        }
        const most = Math.max(0, ...passed.values())
        expect(most).toBeLessThanOrEqual(8)
        overtaken = Math.max(overtaken, most)
      }),
      { numRuns: 80 },
    )
    expect(overtaken).toBeGreaterThan(0)
  })

  it('is deterministic: the same calls give the same plans (49)', () => {
    fc.assert(
      fc.property(workloads, (workload) => {
        const plans = [0, 1].map(() => {
          const rig = new SchedulerRig(workload.options)
          for (const id of workload.arrivals.keys()) rig.scheduler.add(specOf(workload, id))
          const steps: string[] = []
          while (rig.scheduler.hasUnfinished) steps.push(JSON.stringify(sharesOf(rig.step((k) => k >> 1))))
          return steps
        })
        expect(plans[1]).toEqual(plans[0])
      }),
      { numRuns: 40 },
    )
  })
})
