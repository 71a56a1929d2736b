/** Laws of engine and core together, over random arrivals, lengths, drafts, B, S and pool sizes. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BLOCK_SIZE, blocksNeeded } from '../../../src/core/cost.ts'
import { MAX_PREEMPTIONS } from '../../../src/core/schedule/victim.ts'
import { sum } from '../../../src/util/math.ts'
import { engineOptions, GREEDY, mtp, promptOf, realRows } from '../../helpers/coreFixtures.ts'
import { crowdedWorkloads } from '../../helpers/crowdedWorkloads.ts'
import { endOf, ownedBlocks, runWorkload } from '../../helpers/engineRuns.ts'
import { draftsAfter } from '../../helpers/mockModel.ts'
import { arrivals, expectedOutput, type Workload, workloads } from '../../helpers/workloads.ts'

/**
 * Steps within which everything is done. Whoever stands first runs with at most P preemptions, and before each of its runs
 * those that run may have to end; each step is a row of somebody who gets on.
 */
function stepBound({ arrivals }: Workload): number {
  const tokens = arrivals.reduce((sum, { promptTokenIds, maxTokens }) => sum + promptTokenIds.length + maxTokens, 0)
  return (MAX_PREEMPTIONS + 1) * tokens + 26
}

describe('every workload', () => {
  it('is served: nobody starves, answers are those of each request alone, rows and blocks add up (1) (4) (43)', async () => {
    let preemptions = 0
    await fc.assert(
      fc.asyncProperty(fc.oneof(workloads, crowdedWorkloads), async (workload) => {
        const { maxNumBatchedTokens, maxNumSeqs } = workload.options
        const rig = await runWorkload(workload, stepBound(workload))
        for (const id of workload.arrivals.keys()) {
          const end = endOf(rig, id)
          expect(end.reason).toBe('length')
          expect(end.tokenIds).toEqual(expectedOutput(workload, id))
          expect(rig.streamed.get(id)).toEqual(end.tokenIds)
        }
        rig.records.forEach((record, index) => {
          const plan = rig.runner.plans[index]
          expect(realRows(record)).toBeLessThanOrEqual(maxNumBatchedTokens)
          expect(realRows(record)).toBe(plan?.rows)
          expect(record.chargedRows).toBe(realRows(record))
          expect(record.acceptedDrafts + record.rejectedDrafts).toBe(record.draftRows)
          expect(record.running).toBeLessThanOrEqual(maxNumSeqs)
          expect(record.running).toBeGreaterThanOrEqual(plan?.requests.length ?? 0)
          expect(record.usedBlocks).toBeLessThanOrEqual(record.totalBlocks)
        })
        expect(ownedBlocks(rig)).toBe(0)
        preemptions += rig.engine.stats().preemptions
      }),
      { numRuns: 120 },
    )
    expect(preemptions).toBeGreaterThan(20)
  })

  it('adds up in usage, statistics and steps (25) (27) (28)', async () => {
    await fc.assert(
      fc.asyncProperty(workloads, async (workload) => {
        const { options, rightInEight } = workload
        const rig = await runWorkload(workload, stepBound(workload))
        const totals = { accepted: 0, rejected: 0, committed: 0, preempted: 0 }
        for (const [id, { promptTokenIds }] of workload.arrivals.entries()) {
          const { usage, tokenIds, debug } = endOf(rig, id)
          const { accepted_prediction_tokens: accepted, rejected_prediction_tokens: rejected } =
            usage.completion_tokens_details
          expect(usage.prompt_tokens).toBe(promptTokenIds.length)
          expect(usage.completion_tokens).toBe(tokenIds.length)
          expect(debug?.logits.length).toBe(tokenIds.length)
          const all = [...promptTokenIds, ...tokenIds]
          const sampled = (debug?.steps ?? []).filter(({ preempted }) => !preempted)
          let at = promptTokenIds.length
          for (const step of sampled) {
            expect(step.at).toBe(at)
            expect(all.slice(at, at + step.accepted)).toEqual(step.verified.slice(0, step.accepted))
            at += step.accepted + 1
            expect(step.proposed).toEqual(draftsAfter(all.slice(0, at), step.proposed.length, rightInEight))
          }
          expect(at).toBe(all.length)
          expect(accepted).toBe(sampled.reduce((sum, step) => sum + step.accepted, 0))
          expect(accepted + rejected).toBe(sampled.reduce((sum, step) => sum + step.verified.length, 0))
          totals.accepted += accepted
          totals.rejected += rejected
          totals.committed += tokenIds.length
          totals.preempted += (debug?.steps.length ?? 0) - sampled.length
        }
        const stats = rig.engine.stats()
        expect(stats.speculation.verified.length).toBe(options.speculative?.numSpeculativeTokens ?? 0)
        expect(sum(stats.speculation.accepted)).toBe(totals.accepted)
        expect(sum(stats.speculation.verified)).toBe(totals.accepted + totals.rejected)
        expect(stats.committedTokens).toBe(totals.committed)
        expect(stats.preemptions).toBe(totals.preempted)
        expect(sum(rig.records.map(({ acceptedDrafts }) => acceptedDrafts))).toBe(totals.accepted)
      }),
      { numRuns: 60 },
    )
  })
})

describe('invariance', () => {
  it('gives one request the same ids and digests for every B, S, number of drafts and pool (22)', async () => {
    const maxModelLen = 90
    await fc.assert(
      fc.asyncProperty(arrivals(maxModelLen), fc.nat(8), async (some, rightInEight) => {
        const answers = new Set<string>()
        for (const [B, S, drafts, blocks] of [
          [1, 1, 0, 6],
          [8, 4, 4, 7],
          [16, 16, 2, 9],
          [64, 8, 3, 40],
          [300, 12, 1, 6],
        ] as const) {
          const options = engineOptions({
            maxNumBatchedTokens: B,
            maxNumSeqs: S,
            maxModelLen,
            kvCacheTokens: blocks * BLOCK_SIZE,
            speculative: drafts === 0 ? undefined : mtp(drafts),
          })
          const workload = { options, rightInEight, arrivals: some }
          const rig = await runWorkload(workload, stepBound(workload))
          answers.add(JSON.stringify(some.map((_, id) => [endOf(rig, id).tokenIds, endOf(rig, id).debug?.logits])))
        }
        expect(answers.size).toBe(1)
      }),
      { numRuns: 12 },
    )
  })

  it('holds for a request that is preempted, and says so in its steps', async () => {
    const options = engineOptions({
      maxNumBatchedTokens: 32,
      maxNumSeqs: 4,
      maxModelLen: 96,
      kvCacheTokens: blocksNeeded(96) * BLOCK_SIZE,
    })
    const sampling = { ...GREEDY, temperature: 1, seed: 5 }
    const rest = { step: 0, maxTokens: 50, sampling, priority: 0, cacheSalt: undefined }
    const some = [20, 25, 30].map((length, seed) => ({ ...rest, promptTokenIds: promptOf(length, seed) }))
    const workload = { options, rightInEight: 5, arrivals: some }
    const rig = await runWorkload(workload, stepBound(workload))
    for (const id of some.keys()) expect(endOf(rig, id).tokenIds).toEqual(expectedOutput(workload, id))
    const victims = some.flatMap((_, id) => (endOf(rig, id).debug?.steps ?? []).filter(({ preempted }) => preempted))
    expect(victims.some(({ at }) => at > 30)).toBe(true)
    expect(rig.records.reduce((sum, { recomputedTokens }) => sum + recomputedTokens, 0)).toBeGreaterThan(0)
  })
})
