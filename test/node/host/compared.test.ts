/** The step on the host beside the mock runner: for every plan of an engine both answer the same. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Proposer } from '../../../src/core/speculation/proposer.ts'
import type { SpeculativeOptions } from '../../../src/protocol/engineOptions.ts'
import { sum } from '../../../src/util/math.ts'
import { proposerConformance, type RunProposer } from '../../conformance/proposer.ts'
import { EngineRig, engineOptions, GREEDY, mtp, newRequest } from '../../helpers/coreFixtures.ts'
import { crowdedWorkloads } from '../../helpers/crowdedWorkloads.ts'
import { endOf, runWorkload } from '../../helpers/engineRuns.ts'
import { beside } from '../../helpers/hostRig.ts'
import { generateAlone, MOCK_VOCAB_SIZE } from '../../helpers/mockModel.ts'
import { capricious, noise, oracle } from '../../helpers/testProposers.ts'
import { workloads } from '../../helpers/workloads.ts'

describe('every workload', () => {
  it('brings the same tokens, accepted drafts, proposals and digests in each step', async () => {
    const seen = { preemptions: 0, cached: 0, accepted: 0, rejected: 0 }
    await fc.assert(
      fc.asyncProperty(fc.oneof(workloads, crowdedWorkloads), async (workload) => {
        const rig = await runWorkload(workload, 20_000, beside(workload.options, workload.rightInEight))
        for (const id of workload.arrivals.keys()) expect(endOf(rig, id).reason).toBe('length')
        seen.preemptions += rig.engine.stats().preemptions
        seen.cached += sum(rig.records.map(({ cachedTokens }) => cachedTokens))
        seen.accepted += sum(rig.records.map(({ acceptedDrafts }) => acceptedDrafts))
        seen.rejected += sum(rig.records.map(({ rejectedDrafts }) => rejectedDrafts))
      }),
      { numRuns: 60 },
    )
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(20)
  })
})

const SAMPLED = { ...GREEDY, temperature: 0.8, topK: 50, topP: 0.95, minP: 0.01, seed: 2 ** 40 + 9, sampleIndex: 2 }
const REQUESTS = Array.from({ length: 7 }, (_, id) =>
  newRequest(id, 5 + id * 9, 30, id % 2 ? { sampling: { ...SAMPLED, seed: SAMPLED.seed + id } } : {}),
)
const CIRCLING = REQUESTS.map((request) => ({
  ...request,
  promptTokenIds: request.promptTokenIds.map((_, i) => (request.id + (i % 5)) % MOCK_VOCAB_SIZE),
}))

/** Right for greedy requests. */
const answers = new Map(REQUESTS.map(({ id, promptTokenIds }) => [id, generateAlone(promptTokenIds, 40, GREEDY)]))

/** @param whim seed of a policy that takes another number of drafts for each request and step */
function runner(method: 'mtp' | 'ngram', whim?: number, proposer?: Proposer): RunProposer {
  return async (requests, numSpeculativeTokens) => {
    const common = { numSpeculativeTokens, adaptive: false }
    const lookup = { promptLookupMin: 1, promptLookupMax: 3 }
    const asked: SpeculativeOptions = method === 'mtp' ? { method, ...common } : { method, ...common, ...lookup }
    const speculative = numSpeculativeTokens === 0 ? undefined : asked
    const sizes = { maxNumBatchedTokens: 24, maxNumSeqs: 4, kvCacheTokens: 512, maxModelLen: 128 }
    const options = engineOptions({ ...sizes, speculative })
    const drafting = speculative && {
      proposer,
      policy: whim === undefined ? undefined : capricious(numSpeculativeTokens, whim),
    }
    const rig = new EngineRig(options, beside(options), {}, drafting)
    for (const request of requests) rig.engine.add(speculative ? request : { ...request, maxDrafts: undefined })
    await rig.drain()
    return { ends: requests.map(({ id }) => endOf(rig, id)), records: rig.records }
  }
}

describe('speculation', () => {
  describe('mtp', () => proposerConformance({ run: runner('mtp'), requests: REQUESTS, accepts: 'some' }))
  describe('ngram', () => proposerConformance({ run: runner('ngram'), requests: CIRCLING, accepts: 'any' }))
  describe.each([1, 2])('mtp by whim %i: rows to catch up on', (whim) =>
    proposerConformance({ run: runner('mtp', whim), requests: REQUESTS, accepts: 'any' }),
  )
  describe('drafts of which none count', () =>
    proposerConformance({
      run: runner(
        'ngram',
        undefined,
        oracle(({ id }) => answers.get(id) ?? [], 'none'),
      ),
      requests: REQUESTS,
      accepts: 'none',
    }))

  it('takes every draft where all count, whatever is sampled', async () => {
    const { records } = await runner('ngram', undefined, noise(MOCK_VOCAB_SIZE, 'all'))(REQUESTS, 3)
    const drafted = sum(records.map(({ draftRows }) => draftRows))
    expect(drafted).toBeGreaterThan(50)
    expect(sum(records.map(({ acceptedDrafts }) => acceptedDrafts))).toBe(drafted)
  })
})

describe.each([undefined, 0, 1, 2, 3, 4])('%s drafts', (drafts) => {
  it.each(['off', 'digest'] as const)('in one request at a time and many, with logits %s', async (logits) => {
    for (const maxNumSeqs of [1, 8]) {
      const speculative = drafts === undefined ? undefined : mtp(drafts)
      const debug = { logits, steps: true, trace: false }
      const options = engineOptions({ maxNumSeqs, maxNumBatchedTokens: 17, kvCacheTokens: 256, speculative, debug })
      const rig = new EngineRig(options, beside(options))
      for (const request of REQUESTS) rig.engine.add(request)
      await rig.drain()
      for (const { id } of REQUESTS) expect(endOf(rig, id).tokenIds).toHaveLength(30)
    }
  })
})
