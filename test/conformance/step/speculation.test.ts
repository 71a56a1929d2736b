/**
 * Speculation on the real runner under everything that a step does to a request: prompts in many chunks, drafts that are cut
 * between draft and verification, preemption, hits in the prefix cache, numbers of drafts by whim. Ids, bits of the logits,
 * accepted counts and the drafts at every committed length are those of a run that knows none of it.
 */

import { describe, expect, test } from 'vitest'
import type { EngineRequestEnd } from '../../../src/engine/engineTypes.ts'
import { cachedTokens, expectSame, preemptions } from '../../helpers/answers.ts'
import { randomInts } from '../../helpers/kernelHarness.ts'
import { type EngineOverrides, type TestEngine, type TestRequest, withEngine } from '../../helpers/testEngine.ts'
import { capricious } from '../../helpers/testProposers.ts'

const SIZES = { maxModelLen: 96, kvCacheTokens: 2048 }
const VOCABULARY = { 'qwen3-mtp': 512, mimo: 640, 'fairy-tales': 4096 }
type ModelName = keyof typeof VOCABULARY

/** Greedy and sampled, the first two with a prefix of two blocks in common. */
function requests(model: ModelName): TestRequest[] {
  const ids = (seed: number, length: number) => [...randomInts(seed, length, VOCABULARY[model])]
  const prefix = ids(1, 33)
  return [
    { prompt: [...prefix, ...ids(2, 7)], maxTokens: 40 },
    { prompt: [...prefix, ...ids(3, 9)], maxTokens: 24, sampling: { temperature: 1, seed: 8 } },
    { prompt: ids(4, 29), maxTokens: 50, sampling: { temperature: 0.9, topK: 30, topP: 0.9, seed: 9 } },
    { prompt: ids(5, 44), maxTokens: 40 },
  ]
}

const references = new Map<ModelName, Promise<EngineRequestEnd[]>>()

/** Each alone, its prompt in one chunk, nothing cached, four drafts proposed at every length it passes. */
function reference(model: ModelName): Promise<EngineRequestEnd[]> {
  const options = { ...SIZES, maxNumBatchedTokens: 64, drafts: 4, enablePrefixCaching: false }
  const known =
    references.get(model) ??
    withEngine(model, options, async (engine) => {
      const ends: EngineRequestEnd[] = []
      for (const request of requests(model)) ends.push(...(await engine.run([request])))
      expect(engine.records.filter(({ prefillRows }) => prefillRows > 0)).toHaveLength(ends.length)
      return ends
    })
  references.set(model, known)
  return known
}

/** How often drafts that a request had were not all verified in its next step. */
function cuts({ debug }: EngineRequestEnd): number {
  const steps = debug?.steps ?? []
  return steps.filter(
    ({ verified, preempted }, i) => !preempted && verified.length < (steps[i - 1]?.proposed.length ?? 0),
  ).length
}

interface Seen {
  readonly chunks: number
  readonly cuts: number
  readonly preempted: number
  readonly cached: number
  /** lengths at which drafts were compared */
  readonly compared: number
}

/** Runs the requests together, twice, and compares both runs with the reference. */
async function run(model: ModelName, overrides: EngineOverrides): Promise<Seen> {
  const expected = await reference(model)
  return withEngine(model, { ...SIZES, drafts: 4, ...overrides }, async (engine: TestEngine) => {
    const first = await engine.run(requests(model))
    const chunks = engine.records.filter(({ prefillRows }) => prefillRows > 0).length
    const ends = [...first, ...(await engine.run(requests(model)))]
    const compared = expectSame(ends, [...expected, ...expected])
    engine.core.checkIntegrity()
    const sum = (of: (end: EngineRequestEnd) => number) => ends.reduce((total, end) => total + of(end), 0)
    return { chunks, cuts: sum(cuts), preempted: sum(preemptions), cached: sum(cachedTokens), compared }
  })
}

describe.each(['qwen3-mtp', 'mimo'] as const)('%s', (model) => {
  test('prompts in many chunks', async () => {
    // 162 rows of prompts, at most 8 in a step.
    const seen = await run(model, { maxNumBatchedTokens: 8, maxNumSeqs: 4, enablePrefixCaching: false })
    expect(seen.chunks).toBeGreaterThan(20)
    expect(seen.cuts).toBeGreaterThan(3)
    expect(seen.compared).toBeGreaterThan(40)
  })

  test('prompts in many chunks, from the prefix cache and preempted', async () => {
    const seen = await run(model, { maxNumBatchedTokens: 11, maxNumSeqs: 4, kvCacheTokens: 128 })
    expect(seen.preempted).toBeGreaterThan(0)
    expect(seen.cached).toBeGreaterThan(0)
    expect(seen.cuts).toBeGreaterThan(3)
    expect(seen.compared).toBeGreaterThan(40)
  })
})

test.each([1, 2, 3])('numbers of drafts by whim %i, rows and blocks short', async (seed) => {
  const policy = capricious(4, seed)
  const seen = await run('qwen3-mtp', { maxNumBatchedTokens: 13, maxNumSeqs: 4, kvCacheTokens: 144, policy })
  expect(seen.preempted).toBeGreaterThan(0)
  expect(seen.cached).toBeGreaterThan(0)
  expect(seen.compared).toBeGreaterThan(30)
})

test('fairy-tales, in chunks of at most 8 rows', async () => {
  const seen = await run('fairy-tales', { maxNumBatchedTokens: 8, maxNumSeqs: 4, kvCacheTokens: 192 })
  expect(seen.chunks).toBeGreaterThan(15)
  expect(seen.cuts).toBeGreaterThan(5)
  expect(seen.cached).toBeGreaterThan(0)
  expect(seen.compared).toBeGreaterThan(30)
})
