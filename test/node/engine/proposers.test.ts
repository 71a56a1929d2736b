import { describe, expect, it } from 'vitest'
import type { Proposer } from '../../../src/core/speculation/proposer.ts'
import type { NewRequest } from '../../../src/engine/engineTypes.ts'
import type { EngineOptions, SpeculativeOptions } from '../../../src/protocol/engineOptions.ts'
import { proposerConformance, type RunProposer } from '../../conformance/proposer.ts'
import { EngineRig, engineOptions, GREEDY, newRequest, realRows } from '../../helpers/coreFixtures.ts'
import { generateAlone, MOCK_VOCAB_SIZE } from '../../helpers/mockModel.ts'
import { capricious, noise, oracle } from '../../helpers/testProposers.ts'

const OPTIONS: Partial<EngineOptions> = { maxNumBatchedTokens: 24, maxNumSeqs: 4, kvCacheTokens: 512, maxModelLen: 128 }

interface Parts {
  readonly proposer?: () => Proposer
  /** of the policy that decides by whim */
  readonly seed?: number
}

function runner(method: 'mtp' | 'ngram', adaptive: boolean, { proposer, seed }: Parts = {}): RunProposer {
  return async (requests, numSpeculativeTokens) => {
    const common = { numSpeculativeTokens, adaptive }
    const lookup = { promptLookupMin: 1, promptLookupMax: 3 }
    const asked: SpeculativeOptions = method === 'mtp' ? { method, ...common } : { method, ...common, ...lookup }
    const speculative = numSpeculativeTokens === 0 ? undefined : asked
    const drafting = speculative && {
      proposer: proposer?.(),
      policy: seed === undefined ? undefined : capricious(numSpeculativeTokens, seed),
    }
    const rig = new EngineRig(engineOptions({ ...OPTIONS, speculative }), {}, {}, drafting)
    for (const request of requests) rig.engine.add(speculative ? request : { ...request, maxDrafts: undefined })
    await rig.drain()
    const ends = requests.map(({ id }) => {
      const end = rig.ends.get(id)
      if (!end) throw new Error(`request ${id} has not ended`)
      return end
    })
    return { ends, records: rig.records }
  }
}

const SAMPLED = { ...GREEDY, temperature: 1, seed: 9 }
const REQUESTS: readonly NewRequest[] = Array.from({ length: 7 }, (_, id) =>
  newRequest(id, 5 + id * 9, 30, id % 2 ? { sampling: SAMPLED } : {}),
)
const answers = new Map(
  REQUESTS.map(({ id, promptTokenIds, sampling }) => [id, generateAlone(promptTokenIds, 40, sampling)]),
)
const answerOf = ({ id }: { readonly id: number }): readonly number[] => answers.get(id) ?? []

/** A text that goes round in circles, so that n-grams come again. */
const CIRCLING = REQUESTS.map((request) => ({
  ...request,
  promptTokenIds: request.promptTokenIds.map((_, i) => (request.id + (i % 5)) % MOCK_VOCAB_SIZE),
}))

describe('a proposer on the mock runner', () => {
  describe('mtp', () => proposerConformance({ run: runner('mtp', false), requests: REQUESTS, accepts: 'some' }))
  describe('ngram', () => proposerConformance({ run: runner('ngram', false), requests: CIRCLING, accepts: 'any' }))
  describe('oracle', () =>
    proposerConformance({
      run: runner('ngram', false, { proposer: () => oracle(answerOf) }),
      requests: REQUESTS,
      accepts: 'all',
    }))
  describe('reject all', () =>
    proposerConformance({
      run: runner('ngram', false, { proposer: () => oracle(answerOf, 'none') }),
      requests: REQUESTS,
      accepts: 'none',
    }))
  describe('noise', () =>
    proposerConformance({
      run: runner('ngram', false, { proposer: () => noise(MOCK_VOCAB_SIZE) }),
      requests: REQUESTS,
      accepts: 'any',
    }))
  describe.each([1, 2, 3])('mtp by whim %i', (seed) =>
    proposerConformance({ run: runner('mtp', false, { seed }), requests: REQUESTS, accepts: 'any' }),
  )
  describe.each([1, 2, 3])('oracle by whim %i', (seed) =>
    proposerConformance({
      run: runner('ngram', false, { proposer: () => oracle(answerOf), seed }),
      requests: REQUESTS,
      accepts: 'all',
    }),
  )
  describe('the number of drafts chosen by times', () => {
    it('is lossless too, whoever proposes', async () => {
      for (const method of ['mtp', 'ngram'] as const) {
        const requests = method === 'mtp' ? REQUESTS : CIRCLING
        const [plain, chosen] = [await runner(method, true)(requests, 0), await runner(method, true)(requests, 4)]
        expect(chosen.ends.map(({ tokenIds }) => tokenIds)).toEqual(plain.ends.map(({ tokenIds }) => tokenIds))
      }
    })
  })
})

describe('accept all', () => {
  it('fills the budget with drafts that all count: rows never exceed it', async () => {
    const { ends, records } = await runner('ngram', false, { proposer: () => noise(MOCK_VOCAB_SIZE, 'all') })(
      REQUESTS,
      4,
    )
    const drafted = records.reduce((sum, { draftRows }) => sum + draftRows, 0)
    expect(records.reduce((sum, { acceptedDrafts }) => sum + acceptedDrafts, 0)).toBe(drafted)
    expect(drafted).toBeGreaterThan(50)
    for (const record of records) expect(realRows(record)).toBeLessThanOrEqual(24)
    for (const { tokenIds } of ends) expect(tokenIds.length).toBe(30)
  })
})
