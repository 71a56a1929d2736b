/**
 * A request's tokens and the bits of its logits depend on its prompt, its parameters and its seed alone: not on B, on who else
 * is in the batch, on where its prompt is cut, on drafts, or on being preempted.
 */

import { describe, expect, test } from 'vitest'
import type { EngineRequestEnd } from '../../../src/engine/engineTypes.ts'
import type { ModelName } from '../../helpers/folderFetch.ts'
import { randomInts } from '../../helpers/kernelHarness.ts'
import { DRAFT_COUNTS, WHOLE_MATRIX } from '../../helpers/testBackend.ts'
import { type EngineOverrides, type TestEngine, type TestRequest, withEngine } from '../../helpers/testEngine.ts'

interface Answer {
  readonly ids: readonly number[]
  readonly logits: readonly unknown[]
}

const SAMPLED = { temperature: 1, seed: 20_261_122 }

/** Requests under test: one greedy, one sampled with every cut. */
function subjects(vocabSize: number, promptLength: number, maxTokens: number): TestRequest[] {
  const prompt = [...randomInts(7, promptLength, vocabSize)]
  return [
    { prompt, maxTokens },
    { prompt, maxTokens, sampling: SAMPLED },
    { prompt, maxTokens, sampling: { ...SAMPLED, topK: 40, topP: 0.9 } },
  ]
}

/** Others of many lengths, greedy and sampled. */
function crowd(vocabSize: number, size: number): TestRequest[] {
  return Array.from({ length: size }, (_, index) => ({
    prompt: [...randomInts(100 + index, 1 + ((index * 7) % 40), vocabSize)],
    maxTokens: 6 + ((index * 5) % 17),
    ...(index % 2 ? { sampling: { temperature: 0.8, seed: index } } : {}),
  }))
}

function answer(end: EngineRequestEnd | undefined): Answer {
  expect(end?.error).toBeUndefined()
  return { ids: end?.tokenIds ?? [], logits: end?.debug?.logits ?? [] }
}

/** Two others that start just below a block and grow, so that a pool that admits all three is soon too small for them. */
function growers(vocabSize: number): TestRequest[] {
  return Array.from({ length: 2 }, (_, index) => ({
    prompt: [...randomInts(200 + index, 13 + index, vocabSize)],
    maxTokens: 60,
    ...(index % 2 ? { sampling: { temperature: 0.8, seed: index } } : {}),
  }))
}

async function alone(engine: TestEngine, requests: readonly TestRequest[]): Promise<Answer[]> {
  const answers: Answer[] = []
  for (const request of requests) answers.push(answer((await engine.run([request]))[0]))
  return answers
}

/** Each subject beside others. */
async function among(
  engine: TestEngine,
  others: readonly TestRequest[],
  requests: readonly TestRequest[],
): Promise<EngineRequestEnd[]> {
  const ends: EngineRequestEnd[] = []
  for (const request of requests) {
    const all = await engine.run([...others, request])
    ends.push(all[others.length] as EngineRequestEnd)
  }
  return ends
}

function preemptions(end: EngineRequestEnd): number {
  return end.debug?.steps.filter((step) => step.preempted).length ?? 0
}

const references = new Map<ModelName, Promise<Answer[]>>()

/** Behind the others, so that they are preempted first. */
function behind(requests: readonly TestRequest[]): TestRequest[] {
  return requests.map((request) => ({ ...request, priority: 1 }))
}

/** Alone, the prompt in one chunk, no drafter, nothing cached. */
function reference(model: ModelName, overrides: EngineOverrides, requests: readonly TestRequest[]): Promise<Answer[]> {
  let answers = references.get(model)
  if (!answers) {
    answers = withEngine(model, { ...overrides, maxNumBatchedTokens: 256, enablePrefixCaching: false }, (engine) =>
      alone(engine, requests),
    )
    references.set(model, answers)
  }
  return answers
}

describe('qwen3-mtp, the whole matrix', () => {
  const sizes = { maxModelLen: 96, kvCacheTokens: 2048 }
  const requests = subjects(512, 45, 24)

  describe.each(WHOLE_MATRIX ? [16, 64, 256] : [16, 256])('B = %i', (maxNumBatchedTokens) => {
    test.each(DRAFT_COUNTS)('%i drafts: alone and among 15 others', async (drafts) => {
      const expected = await reference('qwen3-mtp', sizes, requests)
      await withEngine('qwen3-mtp', { ...sizes, maxNumBatchedTokens, drafts }, async (engine) => {
        expect(await alone(engine, requests)).toEqual(expected)
        expect((await among(engine, crowd(512, 15), requests)).map(answer)).toEqual(expected)
      })
    })

    test.each(DRAFT_COUNTS)('%i drafts: preempted', async (drafts) => {
      const expected = await reference('qwen3-mtp', sizes, requests)
      const small = { kvCacheTokens: 128, schedulingPolicy: 'priority' } as const
      await withEngine('qwen3-mtp', { ...sizes, ...small, maxNumBatchedTokens, drafts }, async (engine) => {
        const ends = await among(engine, growers(512), behind(requests))
        for (const end of ends) expect(preemptions(end)).toBeGreaterThan(0)
        expect(ends.map(answer)).toEqual(expected)
      })
    })
  })
})

test.each([
  [1, 1, 0],
  [1, 1, 4],
  [5, 5, 4],
  [7, 2, 3],
  [33, 9, 1],
])('qwen3-mtp at odd sizes: B = %i, S = %i, %i drafts', async (maxNumBatchedTokens, maxNumSeqs, drafts) => {
  const sizes = { maxModelLen: 96, kvCacheTokens: 2048 }
  const requests = subjects(512, 45, 24)
  const expected = await reference('qwen3-mtp', sizes, requests)
  const odd = { maxModelLen: 93, kvCacheTokens: 1600, maxNumBatchedTokens, maxNumSeqs, drafts }
  await withEngine('qwen3-mtp', odd, async (engine) => {
    expect((await engine.run([...requests, ...crowd(512, 3)])).slice(0, 3).map(answer)).toEqual(expected)
  })
})

test('mimo: alone, among others, and from the prefix cache', async () => {
  const sizes = { maxModelLen: 96, kvCacheTokens: 2048 }
  const requests = subjects(640, 30, 8)
  const expected = await reference('mimo', sizes, requests)
  await withEngine('mimo', { ...sizes, maxNumBatchedTokens: 33, drafts: 3 }, async (engine) => {
    expect((await among(engine, crowd(640, 5), requests)).map(answer)).toEqual(expected)
    engine.core.resetPrefixCache()
    const proposals: unknown[] = []
    for (const cached of [0, 16]) {
      const first = engine.records.length
      const [end] = await engine.run(requests.slice(0, 1))
      expect(answer(end)).toEqual(expected[0])
      expect(engine.records.slice(first).reduce((sum, record) => sum + record.cachedTokens, 0)).toBe(cached)
      proposals.push(end?.debug?.steps.map(({ proposed }) => proposed))
    }
    expect(proposals[1]).toEqual(proposals[0])
  })
})

describe('fairy-tales, some of it', () => {
  const sizes = { maxModelLen: 96, kvCacheTokens: 2048 }
  const requests = subjects(4096, 30, 12)

  test.each([
    { maxNumBatchedTokens: 16, drafts: 2, kvCacheTokens: 96 },
    { maxNumBatchedTokens: 64, drafts: 4, kvCacheTokens: 2048 },
  ])('$maxNumBatchedTokens rows, $drafts drafts, $kvCacheTokens tokens of cache', async (overrides) => {
    const expected = await reference('fairy-tales', sizes, requests)
    await withEngine('fairy-tales', { ...sizes, ...overrides, schedulingPolicy: 'priority' }, async (engine) => {
      const preempts = overrides.kvCacheTokens < 2048
      const ends = await among(engine, preempts ? growers(4096) : crowd(4096, 15), behind(requests))
      if (preempts) for (const end of ends) expect(preemptions(end)).toBeGreaterThan(0)
      expect(ends.map(answer)).toEqual(expected)
    })
  })
})
