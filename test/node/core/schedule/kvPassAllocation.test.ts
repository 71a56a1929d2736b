/**
 * Laws of the drafter's KV pass over the mock runner, which refuses more rows than B, a draft without the drafter's K and V of
 * every token before it, and a row that is taken up with another token than the one that follows.
 */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { DraftPolicy } from '../../../../src/core/speculation/draftPolicy.ts'
import type { StepPlan } from '../../../../src/core/stepPlan.ts'
import type { EngineOptions } from '../../../../src/protocol/engineOptions.ts'
import { EngineRig, engineOptions, mtp, newRequest, promptOf } from '../../../helpers/coreFixtures.ts'
import { crowdedWorkloads, mostSteps } from '../../../helpers/crowdedWorkloads.ts'
import { endOf, runWorkload } from '../../../helpers/engineRuns.ts'
import { draftsAfter } from '../../../helpers/mockModel.ts'
import { capricious } from '../../../helpers/testProposers.ts'
import { expectedOutput, workloads } from '../../../helpers/workloads.ts'

const NOBODY: ReadonlyMap<number, number> = new Map()

/** Drafts from the step on that is said; the drafter follows from then on too. */
function draftingFrom(step: () => boolean, k = 2): DraftPolicy {
  return {
    decide: () => {
      const on = step()
      return { k: on ? k : 0, reason: 'best', fewer: NOBODY, runKvPass: on, goodput: [] }
    },
    observe: () => {},
    forget: () => {},
  }
}

function rigOf(options: Partial<EngineOptions>, policy: DraftPolicy): EngineRig {
  return new EngineRig(engineOptions({ speculative: mtp(4), ...options }), { rightInEight: 6 }, {}, { policy })
}

const caughtUp = (plans: readonly StepPlan[]): number[] =>
  plans.map(({ requests }) => requests.reduce((sum, { catchUpTokens }) => sum + catchUpTokens.length, 0))

describe('the drafter', () => {
  it('takes up every row once at most for whoever drafts, and drafts are those of one that never paused (28)', async () => {
    const seen = { caughtUp: 0, followed: 0, late: 0 }
    await fc.assert(
      fc.asyncProperty(fc.oneof(workloads, crowdedWorkloads), fc.nat(1000), async (workload, seed) => {
        const { options, rightInEight, arrivals } = workload
        const drafts = Math.max(1, options.speculative?.numSpeculativeTokens ?? 0)
        const drafting = { policy: capricious(drafts, seed) }
        const eager = { ...workload, options: { ...options, speculative: mtp(drafts) } }
        const rig = await runWorkload(eager, mostSteps(workload), {}, () => {}, drafting)
        const ends = new Map<number, number>()
        for (const { requests } of rig.runner.plans) {
          for (const { generation, firstPosition, inKvPass, catchUpFrom, catchUpTokens, m } of requests) {
            const end = catchUpFrom + catchUpTokens.length
            if (catchUpTokens.length > 0) {
              expect(catchUpFrom).toBeGreaterThanOrEqual(ends.get(generation) ?? 0)
              expect(end).toBeLessThanOrEqual(firstPosition)
              if (inKvPass) expect(end).toBe(firstPosition)
              if (m > 0) seen.late++
              ends.set(generation, end)
              seen.caughtUp += catchUpTokens.length
            }
            if (inKvPass) {
              ends.set(generation, firstPosition + 1)
              seen.followed++
            }
          }
        }
        for (const [id, { promptTokenIds }] of arrivals.entries()) {
          const { tokenIds, debug } = endOf(rig, id)
          expect(tokenIds).toEqual(expectedOutput(eager, id))
          const all = [...promptTokenIds, ...tokenIds]
          for (const { at, accepted, proposed, preempted } of debug?.steps ?? []) {
            if (preempted) continue
            const known = all.slice(0, at + accepted + 1)
            expect(proposed).toEqual(draftsAfter(known, proposed.length, rightInEight))
          }
        }
      }),
      { numRuns: 150 },
    )
    expect(seen.caughtUp).toBeGreaterThan(1000)
    expect(seen.followed).toBeGreaterThan(1000)
    expect(seen.late).toBeGreaterThan(100)
  })

  it('has no row while nobody drafts, and as many as it has missed, at most B in a step, when somebody does (2)', async () => {
    let step = 0
    const rig = rigOf(
      { maxNumBatchedTokens: 8, maxNumSeqs: 2 },
      draftingFrom(() => ++step > 20),
    )
    rig.engine.add(newRequest(0, 30, 60))
    await rig.drain()
    const { plans } = rig.runner
    expect(plans.slice(0, 20).every(({ kvPassRows }) => kvPassRows === 0)).toBe(true)
    // Four steps read the prompt, 16 decode: 46 rows. Each of the next catches up on 8 while one more is missed, and the last follows.
    expect(caughtUp(plans).slice(20, 28)).toEqual([8, 8, 8, 8, 8, 8, 4, 0])
    const kvPass = plans.slice(20).map(({ kvPassRows }) => kvPassRows)
    expect(kvPass.slice(0, 7)).toEqual([8, 8, 8, 8, 8, 8, 5])
    const proposed = plans.map(({ requests }) => requests[0]?.m ?? 0)
    expect(proposed.slice(20, 27)).toEqual([0, 0, 0, 0, 0, 0, 2])
    expect(Math.max(...kvPass.slice(7))).toBe(3)
  })

  it('takes up a shared prefix once, for whoever comes first', async () => {
    let on = false
    const rig = rigOf(
      { maxNumBatchedTokens: 128, kvCacheTokens: 1024 },
      draftingFrom(() => on),
    )
    const prefix = promptOf(65, 7)
    rig.engine.add(newRequest(0, 70, 2, { promptTokenIds: [...prefix, ...promptOf(5, 1)] }))
    await rig.drain()
    on = true
    for (const id of [1, 2])
      rig.engine.add(newRequest(id, 70, 9, { promptTokenIds: [...prefix, ...promptOf(5, id + 1)] }))
    await rig.drain()
    expect(rig.records.reduce((sum, { cachedTokens }) => sum + cachedTokens, 0)).toBe(128)
    expect(caughtUp(rig.runner.plans).reduce((sum, rows) => sum + rows)).toBe(64)
    // And whoever finds blocks that it has whole catches up on nothing.
    rig.engine.add(newRequest(3, 70, 9, { promptTokenIds: [...prefix, ...promptOf(5, 9)] }))
    await rig.drain()
    expect(caughtUp(rig.runner.plans).reduce((sum, rows) => sum + rows)).toBe(64)
    expect(endOf(rig, 3).debug?.steps[0]?.proposed).toHaveLength(2)
  })

  it('of those that want no drafts has no row, nor of those too short for any', async () => {
    const rig = rigOf(
      { maxNumBatchedTokens: 64 },
      draftingFrom(() => true),
    )
    rig.engine.add(newRequest(0, 20, 20, { maxDrafts: 0 }))
    rig.engine.add(newRequest(1, 20, 2))
    await rig.drain()
    expect(rig.runner.plans.every(({ kvPassRows }) => kvPassRows === 0)).toBe(true)
  })

  it('catches up also where drafts of others fill every step: rows are set aside for it', async () => {
    let late = false
    const options = { maxNumBatchedTokens: 9, maxNumSeqs: 3, maxModelLen: 512, kvCacheTokens: 2048 }
    const policy = draftingFrom(() => true, 4)
    const held: DraftPolicy = {
      ...policy,
      decide: (situation) => ({
        ...policy.decide(situation),
        fewer: late ? NOBODY : new Map([[2, 0]]),
      }),
    }
    const rig = rigOf(options, held)
    for (const id of [0, 1, 2]) rig.engine.add(newRequest(id, 5, 400))
    for (let step = 0; step < 20; step++) await rig.engine.step()
    const before = rig.runner.plans.length
    late = true
    for (let step = 0; step < 30; step++) await rig.engine.step()
    const drafted = rig.runner.plans
      .slice(before)
      .findIndex(({ requests }) => (requests.find((one) => one.requestId === 2)?.m ?? 0) > 0)
    expect(drafted).toBeGreaterThan(0)
    expect(drafted).toBeLessThan(20)
  })
})
