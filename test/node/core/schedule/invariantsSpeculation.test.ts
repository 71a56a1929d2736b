/** Laws of drafting and verifying, through the engine over the mock runner, whose drafter's cache has to be right in every slot. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { EngineRig, engineOptions, GREEDY, mtp, newRequest, promptOf } from '../../../helpers/coreFixtures.ts'
import { crowdedWorkloads, mostSteps, play } from '../../../helpers/crowdedWorkloads.ts'
import { endOf, runWorkload } from '../../../helpers/engineRuns.ts'
import { draftsAfter, generateAlone } from '../../../helpers/mockModel.ts'
import { expectedOutput } from '../../../helpers/workloads.ts'

const SEEDED = { ...GREEDY, temperature: 1, seed: 11 }

describe('the output', () => {
  it.each([
    ['greedy', GREEDY],
    ['sampled', SEEDED],
  ])(
    '%s is the same with 0 to 4 drafts, whether all of them are right, some or none (22) [test_synthetic_all_accepted] [test_synthetic_all_rejected]',
    async (_name, sampling) => {
      const expected = [0, 1, 2].map((id) => generateAlone(promptOf(9 + id, id), 40, sampling))
      for (const drafts of [undefined, 0, 1, 2, 3, 4]) {
        for (const rightInEight of [0, 4, 8]) {
          const options = engineOptions({ speculative: drafts === undefined ? undefined : mtp(drafts) })
          const rig = new EngineRig(options, { rightInEight })
          for (const id of [0, 1, 2]) rig.engine.add(newRequest(id, 9 + id, 40, { sampling }))
          await rig.drain()
          expect([0, 1, 2].map((id) => endOf(rig, id).tokenIds)).toEqual(expected)
          const accepted = rig.records.reduce((sum, record) => sum + record.acceptedDrafts, 0)
          const rejected = rig.records.reduce((sum, record) => sum + record.rejectedDrafts, 0)
          if (rightInEight === 0 && sampling === GREEDY) expect(accepted).toBe(0)
          if (rightInEight === 8 && sampling === GREEDY) expect(rejected).toBe(0)
        }
      }
    },
  )

  it('of a seed is that of the seed alone, so drafting leaves the distribution as it is (23) [test_deterministic_when_seeded] [test_rejection_sampling_approximates_target_distribution]', async () => {
    // The mock samples its greedy token about half of the time: drafts of it are accepted as often, and no more.
    const seeds = Array.from({ length: 400 }, (_, seed) => seed)
    const options = engineOptions({ maxNumSeqs: 64, maxNumBatchedTokens: 320, kvCacheTokens: 16_384 })
    const rig = new EngineRig(options, { rightInEight: 8 })
    for (const seed of seeds) {
      rig.engine.add(newRequest(seed, 5, 6, { promptTokenIds: promptOf(5, 0), sampling: { ...SEEDED, seed } }))
    }
    await rig.drain()
    const greedy = generateAlone(promptOf(5, 0), 1, GREEDY)[0]
    for (const seed of seeds) {
      expect(endOf(rig, seed).tokenIds).toEqual(generateAlone(promptOf(5, 0), 6, { ...SEEDED, seed }))
    }
    const share = seeds.filter((seed) => endOf(rig, seed).tokenIds[0] === greedy).length / seeds.length
    // Five standard deviations of 400 fair draws.
    expect(Math.abs(share - 0.5)).toBeLessThan(0.125)
    const { verified, accepted } = rig.engine.stats().speculation
    const rate = (accepted[0] ?? 0) / (verified[0] ?? 1)
    expect(Math.abs(rate - 0.5)).toBeLessThan(0.125)
  })

  it('and the drafts are the same with the prefix cache and without (39)', async () => {
    let cached = 0
    await fc.assert(
      fc.asyncProperty(crowdedWorkloads, async (workload) => {
        for (const enablePrefixCaching of [true, false]) {
          const options = { ...workload.options, enablePrefixCaching }
          const rig = await runWorkload({ ...workload, options }, mostSteps(workload))
          for (const [id, { promptTokenIds }] of workload.arrivals.entries()) {
            const { tokenIds, debug } = endOf(rig, id)
            expect(tokenIds).toEqual(expectedOutput(workload, id))
            const all = [...promptTokenIds, ...tokenIds]
            for (const step of debug?.steps ?? []) {
              if (step.preempted) continue
              const known = all.slice(0, step.at + step.accepted + 1)
              expect(step.proposed).toEqual(draftsAfter(known, step.proposed.length, workload.rightInEight))
            }
          }
          const tokens = rig.records.reduce((sum, { cachedTokens }) => sum + cachedTokens, 0)
          if (!enablePrefixCaching) expect(tokens).toBe(0)
          cached += tokens
        }
      }),
      { numRuns: 40 },
    )
    expect(cached).toBeGreaterThan(1000)
  })
})

describe('drafts', () => {
  it('verified in a step are at most those that the step before proposed, and may be fewer (27)', () => {
    let fewer = 0
    fc.assert(
      fc.property(crowdedWorkloads, (workload) => {
        const proposed = new Map<number, number>()
        play(workload, (_rig, { requests }) => {
          for (const { running, k, m } of requests) {
            const before = proposed.get(running.generation) ?? 0
            expect(k).toBeLessThanOrEqual(before)
            if (k < before) fewer++
            proposed.set(running.generation, m)
          }
        })
      }),
      { numRuns: 80 },
    )
    expect(fewer).toBeGreaterThan(30)
  })

  it('are right again after steps without any: those steps kept the drafter’s cache, and cost one row (28)', async () => {
    // A prompt of 200 tokens takes what the base rows leave; request 0 decodes without drafts meanwhile.
    const options = engineOptions({ maxNumBatchedTokens: 3, maxNumSeqs: 3, speculative: mtp(4) })
    const rig = new EngineRig(options, { rightInEight: 6 })
    rig.engine.add(newRequest(0, 4, 120))
    rig.engine.add(newRequest(1, 4, 120))
    for (let step = 0; step < 6; step++) await rig.engine.step()
    rig.engine.add(newRequest(2, 60, 1))
    await rig.drain()
    const ks = rig.runner.plans.map(({ requests }) => requests.find(({ requestId }) => requestId === 0)?.k ?? 0)
    expect(ks.slice(10, 40).every((k) => k === 0)).toBe(true)
    expect(ks.some((k, i) => i > 60 && k > 0)).toBe(true)
    for (const id of [0, 1]) {
      const { tokenIds, debug } = endOf(rig, id)
      expect(tokenIds).toEqual(generateAlone(promptOf(4, id), 120, GREEDY))
      const all = [...promptOf(4, id), ...tokenIds]
      for (const { at, accepted, proposed } of debug?.steps ?? []) {
        expect(proposed).toEqual(draftsAfter(all.slice(0, at + accepted + 1), proposed.length, 6))
      }
    }
  })

  it('that were rejected leave tables as they are: their slots are written again (38)', () => {
    let crossing = 0
    fc.assert(
      fc.property(crowdedWorkloads, (workload) => {
        const tables = new Map<number, readonly number[]>()
        play({ ...workload, rightInEight: 0 }, ({ scheduler }, { requests }) => {
          for (const { running, firstPosition, n, k } of requests) {
            const { generation, request } = running
            const table = scheduler.kv.table(request.id)
            const before = tables.get(generation) ?? []
            expect(table.slice(0, before.length)).toEqual(before)
            tables.set(generation, [...table])
            const last = firstPosition + n - 1
            if (Math.floor((last - k) / 16) < Math.floor(last / 16)) crossing++
          }
        })
      }),
      { numRuns: 80 },
    )
    expect(crossing).toBeGreaterThan(50)
  })

  it('go, and proposals with them, before anybody is preempted: base rows alone would not have fitted', () => {
    const seen = { trimmed: 0, preempted: 0 }
    fc.assert(
      fc.property(crowdedWorkloads, (workload) => {
        let fits = true
        let prompts = 0
        play(
          workload,
          (_rig, { requests, preempted }) => {
            // Beside prompts, whose chunks take blocks too, the count is another one.
            if (prompts > 0) return
            expect(preempted.length > 0).toBe(!fits)
            if (preempted.length > 0) seen.preempted++
            else if (requests.some(({ shortage, prefill }) => shortage === 'blocks' && !prefill)) seen.trimmed++
          },
          ({ scheduler: { running, kv } }) => {
            prompts = running.filter(({ decodeReady }) => !decodeReady).length
            const blocks = running.reduce((sum, one) => sum + one.missingBlocks(one.computed + 1), 0)
            fits = blocks <= kv.freeBlocks
          },
        )
      }),
      { numRuns: 80 },
    )
    expect(seen.trimmed).toBeGreaterThan(10)
    expect(seen.preempted).toBeGreaterThan(10)
  })
})
