/** Parallel samples of one prompt on the real runner: one computes the prompt, the others find it, each draws its own. */

import { expect, test } from 'vitest'
import type { EngineRequestEnd } from '../../../src/engine/engineTypes.ts'
import { cachedTokens, expectSame } from '../../helpers/answers.ts'
import { randomInts } from '../../helpers/kernelHarness.ts'
import { type TestRequest, withEngine } from '../../helpers/testEngine.ts'

const SIZES = { maxModelLen: 80, kvCacheTokens: 512 }
const PROMPT = [...randomInts(21, 50, 512)]

const SAMPLES = [0, 1, 2, 3].map(
  (sampleIndex): TestRequest => ({
    prompt: PROMPT,
    maxTokens: 10,
    sampling: { temperature: 1, seed: 77, sampleIndex },
  }),
)

let alone: Promise<EngineRequestEnd[]> | undefined

/** One after another, nothing cached, four drafts. */
function reference(): Promise<EngineRequestEnd[]> {
  const inTurn = { ...SIZES, drafts: 4, enablePrefixCaching: false, maxNumSeqs: 1 }
  alone ??= withEngine('qwen3-mtp', inTurn, (engine) => engine.run(SAMPLES))
  return alone
}

test.each([
  { maxNumBatchedTokens: 64 },
  { maxNumBatchedTokens: 20, drafts: 2 },
  { maxNumBatchedTokens: 64, drafts: 4 },
])('%j: four samples answer as alone, and the prompt is computed once', async (overrides) => {
  const expected = await reference()
  expect(new Set(expected.map((end) => String(end.tokenIds))).size).toBe(4)
  await withEngine('qwen3-mtp', { ...SIZES, ...overrides }, async (engine) => {
    const ends = await engine.run(SAMPLES)
    expectSame(ends, expected)
    expect(ends.map(cachedTokens)).toEqual([0, 48, 48, 48])
    expect(engine.records.reduce((sum, { prefillRows }) => sum + prefillRows, 0)).toBe(50 + 3 * 2)
  })
})
