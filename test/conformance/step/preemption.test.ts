/** Preemption on the real runner: who was preempted answers as if it had not been, whatever it finds again in the cache. */

import { afterEach, expect, test, vi } from 'vitest'
import { Scheduler } from '../../../src/core/schedule/scheduler.ts'
import type { EngineRequestEnd } from '../../../src/engine/engineTypes.ts'
import { expectSame, preemptions } from '../../helpers/answers.ts'
import { randomInts } from '../../helpers/kernelHarness.ts'
import { type EngineOverrides, type TestEngine, type TestRequest, withEngine } from '../../helpers/testEngine.ts'

const SIZES = { maxModelLen: 96, kvCacheTokens: 1024, maxNumBatchedTokens: 64 }

// Seven of eight blocks at first, and all three grow. With drafts it is another one that has to go, and more than one.
const REQUESTS: readonly TestRequest[] = [
  { prompt: [...randomInts(1, 28, 512)], maxTokens: 16 },
  { prompt: [...randomInts(2, 29, 512)], maxTokens: 16, sampling: { temperature: 0.8, seed: 4 } },
  { prompt: [...randomInts(3, 40, 512)], maxTokens: 40, sampling: { temperature: 1, topK: 40, topP: 0.9, seed: 5 } },
]

afterEach(() => {
  vi.restoreAllMocks()
})

function open<T>(overrides: EngineOverrides, use: (engine: TestEngine) => Promise<T>): Promise<T> {
  return withEngine('qwen3-mtp', { ...SIZES, ...overrides }, use)
}

let unpreempted: Promise<EngineRequestEnd[]> | undefined

/** Room for everybody, nothing cached, four drafts: every answer, and drafts at many lengths. */
function reference(): Promise<EngineRequestEnd[]> {
  unpreempted ??= open({ drafts: 4, enablePrefixCaching: false }, (engine) => engine.run(REQUESTS))
  return unpreempted
}

function sum<T>(all: readonly T[], value: (one: T) => number): number {
  return all.reduce((total, one) => total + value(one), 0)
}

test.each([
  { enablePrefixCaching: false },
  { enablePrefixCaching: false, drafts: 4 },
  { enablePrefixCaching: true },
  { enablePrefixCaching: true, drafts: 0 },
  { enablePrefixCaching: true, drafts: 2, maxNumBatchedTokens: 24 },
  { enablePrefixCaching: true, drafts: 4 },
])('%j: preempted as not preempted', async (overrides) => {
  const expected = await reference()
  expect(sum(expected, preemptions)).toBe(0)
  const schedule = vi.spyOn(Scheduler.prototype, 'schedule')
  await open({ ...overrides, kvCacheTokens: 128 }, async (engine) => {
    const ends = await engine.run(REQUESTS)
    const victims = schedule.mock.results.flatMap(({ value }) => value.preempted)
    expect(sum(ends, preemptions)).toBe(victims.length)
    expect(victims.length).toBeGreaterThan(0)
    expect(expectSame(ends, expected)).toBeGreaterThan((overrides.drafts ?? 0) > 0 ? 10 : -1)
    const lost = sum(victims, ({ tokensToRecompute }) => tokensToRecompute)
    const recomputed = sum(engine.records, ({ recomputedTokens }) => recomputedTokens)
    const found = sum(engine.records, ({ cachedTokens }) => cachedTokens)
    expect(recomputed).toBe(lost - found)
    if (overrides.enablePrefixCaching) expect(recomputed).toBeLessThan(lost)
    else expect(found).toBe(0)
    engine.core.checkIntegrity()
  })
})
