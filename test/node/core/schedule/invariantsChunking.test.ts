/** Laws of prompts that are computed in pieces. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { buildStepPlan } from '../../../../src/core/stepPlanBuilder.ts'
import { EngineRig, engineOptions, GREEDY, mtp, newRequest, promptOf } from '../../../helpers/coreFixtures.ts'
import { crowdedWorkloads, play } from '../../../helpers/crowdedWorkloads.ts'
import { endOf } from '../../../helpers/engineRuns.ts'
import { draftsAfter, generateAlone } from '../../../helpers/mockModel.ts'
import { SchedulerRig } from '../../../helpers/schedulerRig.ts'

describe('chunks', () => {
  it('are each known token once and in order, whatever was cached, preempted or cut short (16)', () => {
    let chunks = 0
    fc.assert(
      fc.property(crowdedWorkloads, (workload) => {
        const end = new Map<number, number>()
        play(workload, (_rig, output) => {
          const plan = buildStepPlan(output)
          for (const [i, { generation, firstPosition, ids }] of plan.requests.entries()) {
            if (!ids) continue
            const tokens = output.requests[i]?.running.request.tokens ?? []
            expect(ids).toEqual(tokens.slice(firstPosition, firstPosition + ids.length))
            const begun = end.get(generation)
            if (begun !== undefined) {
              expect(firstPosition).toBe(begun)
              chunks++
            }
            end.set(generation, firstPosition + ids.length)
          }
        })
      }),
      { numRuns: 100 },
    )
    expect(chunks).toBeGreaterThan(200)
  })

  it('sample one token at the end of what is known, and none before (21)', () => {
    fc.assert(
      fc.property(crowdedWorkloads, (workload) => {
        play(workload, (_rig, output) => {
          for (const { prefill, running, firstPosition, n, samples, k, m } of output.requests) {
            if (!prefill) continue
            expect(samples).toBe(firstPosition + n === running.prefillEnd)
            expect(k).toBe(0)
            if (!samples) expect(m).toBe(0)
          }
        })
      }),
      { numRuns: 60 },
    )
  })

  it('are no longer than longPrefillTokenThreshold, and go on until rows or prompts run out (17)', () => {
    const sizes = fc.record({
      B: fc.integer({ min: 3, max: 120 }),
      threshold: fc.integer({ min: 1, max: 60 }),
      prompts: fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 1, maxLength: 3 }),
    })
    fc.assert(
      fc.property(sizes, ({ B, threshold, prompts }) => {
        const options = { maxNumBatchedTokens: B, maxNumSeqs: 3, longPrefillTokenThreshold: threshold }
        const rig = new SchedulerRig(engineOptions({ ...options, speculative: undefined }))
        for (const [id, length] of prompts.entries()) rig.add(id, length, 1)
        const left = [...prompts]
        while (rig.scheduler.hasUnfinished) {
          const { requests } = rig.step()
          let rest = B
          const expected: [number, number][] = []
          for (const [id, tokens] of left.entries()) {
            const n = Math.min(tokens, threshold, rest)
            rest -= n
            if (n === 0) continue
            left[id] = tokens - n
            expected.push([id, n])
          }
          expect(requests.map(({ running, n }) => [running.request.id, n])).toEqual(expected)
        }
      }),
    )
  })

  it('tell the drafter the next known token, so that its drafts are those of the prompt uncut (19)', async () => {
    for (const B of [1, 5, 16, 17, 40, 256]) {
      const rig = new EngineRig(engineOptions({ maxNumBatchedTokens: B, maxNumSeqs: 1, speculative: mtp(4) }))
      rig.engine.add(newRequest(0, 70, 12))
      await rig.drain()
      const { tokenIds, debug } = endOf(rig, 0)
      expect(tokenIds).toEqual(generateAlone(promptOf(70, 0), 12, GREEDY))
      const chunks = rig.runner.plans.filter(({ requests }) => requests.some(({ ids }) => ids)).length
      expect(chunks).toBe(Math.ceil(70 / B))
      const all = [...promptOf(70, 0), ...tokenIds]
      for (const { at, accepted, proposed } of debug?.steps ?? []) {
        expect(proposed).toEqual(draftsAfter(all.slice(0, at + accepted + 1), proposed.length, 5))
      }
    }
  })
})
