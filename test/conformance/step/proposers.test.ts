/** Every proposer on the real runner: lossless, bit for bit, greedy and sampled, alone and with the number of drafts chosen. */

import { describe, expect, test } from 'vitest'
import type { Proposer } from '../../../src/core/speculation/proposer.ts'
import type { NewRequest } from '../../../src/engine/engineTypes.ts'
import { type ProposerRun, proposerConformance, type RunProposer } from '../../conformance/proposer.ts'
import { GREEDY } from '../../helpers/coreFixtures.ts'
import { randomInts } from '../../helpers/kernelHarness.ts'
import { type EngineOverrides, type TestEngine, withEngine } from '../../helpers/testEngine.ts'
import { capricious, noise, oracle } from '../../helpers/testProposers.ts'

const SIZES = { maxNumBatchedTokens: 24, maxNumSeqs: 4, maxModelLen: 96, kvCacheTokens: 512 } as const
const SAMPLED = { ...GREEDY, temperature: 1, topK: 20, seed: 5 }

/** Prompts that go round in circles, of several chunks, so that n-grams come again. */
const REQUESTS: readonly NewRequest[] = [7, 20, 33].map((length, id) => {
  const circle = randomInts(id + 1, 5, 512)
  return {
    id,
    promptTokenIds: Array.from({ length }, (_, i) => circle[i % 5] ?? 0),
    maxTokens: 24,
    sampling: id === 1 ? SAMPLED : GREEDY,
    stopTokenIds: [],
    eosTokenIds: [],
    ignoreEos: true,
    priority: 0,
    cacheSalt: undefined,
    debug: { logits: true, steps: true },
  }
})

const answers = new Map<number, readonly number[]>()
const answerOf = ({ id }: { readonly id: number }): readonly number[] => answers.get(id) ?? []
let plain: Promise<ProposerRun> | undefined

async function drain(engine: TestEngine, requests: readonly NewRequest[]): Promise<ProposerRun> {
  for (const request of requests) engine.core.add(request)
  await engine.drain()
  const ends = requests.map(({ id }) => {
    const end = engine.ends.get(id)
    if (!end) throw new Error(`request ${id} did not end`)
    return end
  })
  return { ends, records: engine.records }
}

/** Without speculation, run once. */
function plainRun(): Promise<ProposerRun> {
  plain ??= withEngine('qwen3-mtp', SIZES, async (engine) => {
    const run = await drain(engine, REQUESTS)
    for (const { requestId, tokenIds } of run.ends) answers.set(requestId, tokenIds)
    return run
  })
  return plain
}

function runner(overrides: (drafts: number) => EngineOverrides): RunProposer {
  return async (requests, drafts) => {
    const without = await plainRun()
    if (drafts === 0) return without
    return withEngine('qwen3-mtp', { ...SIZES, ...overrides(drafts) }, (engine) => drain(engine, requests))
  }
}

function ngram(numSpeculativeTokens: number, adaptive = false): EngineOverrides {
  const lookup = { promptLookupMin: 1, promptLookupMax: 3 }
  return { speculative: { method: 'ngram', numSpeculativeTokens, adaptive, ...lookup } }
}

function onHost(proposer: () => Proposer): RunProposer {
  return runner((drafts) => ({ ...ngram(drafts), proposer: proposer() }))
}

describe('a proposer on the GPU runner', () => {
  describe('mtp', () =>
    proposerConformance({ run: runner((drafts) => ({ drafts })), requests: REQUESTS, accepts: 'some' }))
  describe('mtp by whim', () =>
    proposerConformance({
      run: runner((drafts) => ({ drafts, policy: capricious(drafts, 3) })),
      requests: REQUESTS,
      accepts: 'some',
    }))
  describe('ngram', () =>
    proposerConformance({ run: runner((drafts) => ngram(drafts)), requests: REQUESTS, accepts: 'any' }))
  describe('oracle', () =>
    proposerConformance({ run: onHost(() => oracle(answerOf)), requests: REQUESTS, accepts: 'all' }))
  describe('reject all', () =>
    proposerConformance({ run: onHost(() => oracle(answerOf, 'none')), requests: REQUESTS, accepts: 'none' }))

  test.each(['mtp', 'ngram'] as const)('%s is lossless with the number of drafts chosen by times', async (method) => {
    const without = await plainRun()
    const chosen =
      method === 'mtp' ? { speculative: { method, numSpeculativeTokens: 4, adaptive: true } } : ngram(4, true)
    const { ends } = await withEngine('qwen3-mtp', { ...SIZES, ...chosen }, (engine) => drain(engine, REQUESTS))
    const answer = (run: readonly ProposerRun['ends'][number][]) =>
      run.map(({ tokenIds, debug }) => [tokenIds, debug?.logits])
    expect(answer(ends)).toEqual(answer(without.ends))
  })

  test('accept all fills the buffers and never exceeds them', async () => {
    const { records } = await onHost(() => noise(512, 'all'))(REQUESTS, 4)
    const drafted = records.reduce((sum, { draftRows }) => sum + draftRows, 0)
    expect(drafted).toBeGreaterThan(30)
    expect(records.reduce((sum, { acceptedDrafts }) => sum + acceptedDrafts, 0)).toBe(drafted)
  })
})
