/** The processor with 8-bit weights: the laws of the engine hold as with f32, its choices are close to those of f32. */

import { describe, expect, test } from 'vitest'
import { formatName } from '../../src/weights/format.ts'
import { sliceRows } from '../../src/weights/rowSlices.ts'
import type { ModelName } from '../helpers/folderFetch.ts'
import { loadGolden } from '../helpers/golden.ts'
import { randomInts } from '../helpers/random.ts'
import { createRunner } from '../helpers/testBackend.ts'
import { type EngineOverrides, type TestRequest, withEngine } from '../helpers/testEngine.ts'

const SIZES: EngineOverrides = { quantization: 'w8a8', maxModelLen: 96, kvCacheTokens: 2048 }

/** Ids and digests of logits of each request. */
async function answers(overrides: EngineOverrides, requests: readonly TestRequest[], others: readonly TestRequest[]) {
  return withEngine('qwen3-mtp', { ...SIZES, ...overrides }, async (engine) => {
    const ends = await engine.run([...others, ...requests])
    return ends.slice(others.length).map(({ tokenIds, debug }) => ({ tokenIds, logits: debug?.logits }))
  })
}

describe('answers with 8-bit weights', () => {
  const prompt = [...randomInts(7, 45, 512)]
  const sampling = { temperature: 1, seed: 20_261_127 }
  const requests: TestRequest[] = [
    { prompt, maxTokens: 24 },
    { prompt: prompt.slice(3), maxTokens: 24, sampling },
    { prompt: prompt.slice(9), maxTokens: 24, sampling: { ...sampling, topK: 40, topP: 0.9 } },
  ]
  const crowd = Array.from({ length: 13 }, (_, index) => ({
    prompt: [...randomInts(100 + index, 1 + ((index * 7) % 40), 512)],
    maxTokens: 6 + ((index * 5) % 17),
    ...(index % 2 ? { sampling: { temperature: 0.8, seed: index } } : {}),
  }))

  test('have the same ids and bits alone, among others, in any chunks, and with any number of drafts', async () => {
    const alone: unknown[] = []
    const whole = { maxNumBatchedTokens: 256, enablePrefixCaching: false }
    for (const request of requests) alone.push(...(await answers(whole, [request], [])))
    for (const maxNumBatchedTokens of [16, 64]) {
      for (const drafts of [undefined, 1, 3]) {
        expect(await answers({ maxNumBatchedTokens, drafts }, requests, crowd)).toEqual(alone)
      }
    }
    expect(await answers({ quantization: 'none', ...whole }, requests, [])).not.toEqual(alone)
  })

  test('have drafts that are accepted, also from a reduced vocabulary', async () => {
    const ids = Array.from({ length: 256 }, (_, id) => 2 * id)
    const golden = loadGolden('qwen3-mtp').cases.map((each) => ({ prompt: each.prompt_ids, maxTokens: 30 }))
    const sizes = { ...SIZES, maxModelLen: 256, kvCacheTokens: 8192 }
    const run = (given: EngineOverrides) =>
      withEngine('qwen3-mtp', { ...sizes, ...given }, async (engine) => {
        const ends = await engine.run(golden)
        const accepted = engine.records.reduce((sum, { acceptedDrafts }) => sum + acceptedDrafts, 0)
        return { tokens: ends.map(({ tokenIds }) => tokenIds), accepted }
      })
    const { tokens } = await run({})
    for (const given of [{ drafts: 2 }, { drafts: 2, draftVocab: ids }]) {
      const drafted = await run(given)
      expect(drafted.tokens).toEqual(tokens)
      expect(drafted.accepted).toBeGreaterThan(0)
    }
  })
})

test.each<ModelName>(['fairy-tales', 'qwen3-mtp', 'mimo'])(
  'of %s at least 95 % of the likeliest tokens are those of float64',
  async (model) => {
    const requests: TestRequest[] = []
    const expected: number[] = []
    for (const { prompt_ids, kv_exact } of loadGolden(model).cases) {
      for (const [index, id] of kv_exact.greedy_ids.entries()) {
        requests.push({ prompt: [...prompt_ids, ...kv_exact.greedy_ids.slice(0, index)], maxTokens: 1 })
        expected.push(id)
      }
    }
    const longest = Math.max(...requests.map(({ prompt }) => prompt.length)) + 1
    const sizes = { maxModelLen: longest, kvCacheTokens: 16_384, maxNumBatchedTokens: 256 }
    await withEngine(model, { ...SIZES, ...sizes }, async (engine) => {
      const ends = await engine.run(requests)
      const equal = ends.filter(({ tokenIds }, index) => tokenIds[0] === expected[index]).length
      console.log(`${model}, w8a8: ${equal} of ${expected.length} likeliest tokens are those of float64`)
      expect(expected.length).toBeGreaterThan(100)
      expect(equal / expected.length).toBeGreaterThanOrEqual(0.95)
    })
  },
)

test('a row that is not finite ends its request with NUMERIC_ERROR, and changes no other', async () => {
  const POISONED = 77
  const clean: TestRequest[] = [3, 4, 5].map((seed) => ({ prompt: [...randomInts(seed, 20, 70)], maxTokens: 12 }))
  const run = (requests: readonly TestRequest[], poison: boolean) =>
    withEngine(
      'mimo',
      { ...SIZES, enablePrefixCaching: false },
      async (engine) => {
        const ids = requests.map((request) => engine.add(request))
        await engine.drain()
        return ids.map((id) => engine.ends.get(id))
      },
      (from) => {
        const { weights } = from
        const read: typeof weights.read = (tensors, sink, options) =>
          weights.read(
            tensors,
            (tensor, firstRow, rows) => {
              const row = POISONED - firstRow
              if (poison && tensor.role === 'embed' && 0 <= row && row < rows.count) {
                expect(formatName(rows.format)).toBe('bf16')
                sliceRows(rows, row, 1).codes.fill(255) // NaN
              }
              return sink(tensor, firstRow, rows)
            },
            options,
          )
        return createRunner({ ...from, weights: { ...weights, read } })
      },
    )
  const expected = (await run(clean, false)).map((end) => end?.tokenIds)
  const [first, second, third] = clean as [TestRequest, TestRequest, TestRequest]
  const ends = await run([first, { prompt: [3, POISONED, 4], maxTokens: 12 }, second, third], true)
  expect(ends[1]?.error?.code).toBe('NUMERIC_ERROR')
  expect([0, 2, 3].map((index) => ends[index]?.tokenIds)).toEqual(expected)
})
