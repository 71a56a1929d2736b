/** The prefix cache on the real runner: what a hit reads is what would have been computed, to the bit, drafts included. */

import { describe, expect, test } from 'vitest'
import type { EngineRequestEnd } from '../../../src/engine/engineTypes.ts'
import type { KvCacheDtype } from '../../../src/protocol/engineOptions.ts'
import { cachedTokens, expectSame } from '../../helpers/answers.ts'
import { randomInts } from '../../helpers/kernelHarness.ts'
import { onBackend } from '../../helpers/testBackend.ts'
import { type EngineOverrides, type TestEngine, type TestRequest, withEngine } from '../../helpers/testEngine.ts'

const SIZES = { maxModelLen: 112, kvCacheTokens: 1024, maxNumBatchedTokens: 256 }

function open<T>(overrides: EngineOverrides, use: (engine: TestEngine) => Promise<T>): Promise<T> {
  return withEngine('qwen3-mtp', { ...SIZES, ...overrides }, use)
}

function ids(seed: number, length: number): number[] {
  return [...randomInts(seed, length, 512)]
}

/** A request's tokens at its end. */
function tokens({ prompt }: TestRequest, end: EngineRequestEnd): number[] {
  return [...prompt, ...end.tokenIds]
}

/**
 * Tokens of a prompt that a cache without pressure holds: whole blocks that begin like those of an earlier request, which
 * computed all its tokens but the last; with a drafter the token after them is the same too; one token is left to compute.
 * @param earlier [requests] tokens at their ends
 */
function findable(prompt: readonly number[], earlier: readonly (readonly number[])[], drafter: boolean): number {
  const shared = earlier.map((one) => {
    const differs = prompt.findIndex((id, index) => id !== one[index])
    const common = differs < 0 ? prompt.length : differs
    return Math.min(common - (drafter ? 1 : 0), one.length - 1, prompt.length - 1)
  })
  return 16 * Math.floor(Math.max(0, ...shared) / 16)
}

describe('on as off', () => {
  const prefix = ids(1, 52)
  const sampled = { temperature: 1, topK: 40, topP: 0.9, seed: 20_261_122 }
  const first: TestRequest[] = [
    { prompt: [...prefix, ...ids(2, 5)], maxTokens: 12 },
    { prompt: [...prefix, ...ids(3, 9)], maxTokens: 9, sampling: sampled },
    { prompt: prefix.slice(0, 48), maxTokens: 7, sampling: { temperature: 0.8, seed: 3 } },
    { prompt: ids(4, 40), maxTokens: 10, sampling: sampled },
  ]

  interface Conversations {
    readonly requests: readonly TestRequest[]
    readonly ends: readonly EngineRequestEnd[]
  }

  /** Four requests together, then five that go on from them. */
  async function converse(engine: TestEngine): Promise<Conversations> {
    const ends = await engine.run(first)
    const said = first.map((request, index) => tokens(request, ends[index] as EngineRequestEnd))
    const second: TestRequest[] = [
      { prompt: [...(said[0] ?? []), ...ids(5, 3)], maxTokens: 8 },
      { prompt: [...(said[3] ?? []), ...ids(6, 20)], maxTokens: 8, sampling: sampled },
      { prompt: [...prefix.slice(0, 33), ...ids(7, 8)], maxTokens: 8 },
      { prompt: first[0]?.prompt ?? [], maxTokens: 8, sampling: sampled },
      { prompt: first[0]?.prompt ?? [], maxTokens: 4, cacheSalt: 'another' },
    ]
    return { requests: [...first, ...second], ends: [...ends, ...(await engine.run(second))] }
  }

  const references = new Map<string, Promise<Conversations>>()

  /** Nothing cached, four drafts: every answer, and drafts at many lengths. */
  function reference(kvCacheDtype: KvCacheDtype): Promise<Conversations> {
    let known = references.get(kvCacheDtype)
    if (!known) {
      known = open({ kvCacheDtype, drafts: 4, enablePrefixCaching: false }, converse)
      references.set(kvCacheDtype, known)
    }
    return known
  }

  test.each(
    [
      { maxNumBatchedTokens: 16, kvCacheDtype: 'f16' },
      { maxNumBatchedTokens: 64, kvCacheDtype: 'f16', drafts: 0 },
      { maxNumBatchedTokens: 16, kvCacheDtype: 'f16', drafts: 2 },
      { maxNumBatchedTokens: 256, kvCacheDtype: 'f16', drafts: 4 },
      { maxNumBatchedTokens: 23, kvCacheDtype: 'f32', drafts: 4 },
    ].map(onBackend),
  )('%j: same ids, digests and drafts, every shared block found', async (overrides) => {
    const expected = await reference(overrides.kvCacheDtype)
    expect(expected.ends.map(cachedTokens)).toEqual(Array(9).fill(0))
    const { drafts } = overrides
    const drafter = drafts !== undefined
    await open(overrides, async (engine) => {
      const { requests, ends } = await converse(engine)
      const compared = expectSame(ends, expected.ends)
      expect(compared).toBeGreaterThan(drafts ? 25 : -1)
      const all = requests.map((request, index) => tokens(request, ends[index] as EngineRequestEnd))
      const cached = requests.map(({ prompt, cacheSalt }, index) =>
        cacheSalt ? 0 : findable(prompt, all.slice(0, index), drafter),
      )
      expect(ends.map(cachedTokens)).toEqual(cached)
      expect(cached).toEqual([0, 48, 32, 0, 64, 48, 32, 48, 0])
      const computed = requests.reduce((sum, { prompt }, index) => sum + prompt.length - (cached[index] ?? 0), 0)
      expect(engine.records.reduce((sum, { prefillRows }) => sum + prefillRows, 0)).toBe(computed)
    })
  })
})

// The drafter's last slot of a block depends on the token after it. Here A and C have a prefix of whole blocks in common and
// differ right after it. D goes on from C, and must read the slot that C computed, not that of A.
test('prompts that part at the end of a block: their continuations draft as without the cache', async () => {
  const lengths = [...Array(8).fill(16), ...Array(4).fill(32)]
  const branch = (next: number, maxTokens: number): TestRequest[] =>
    lengths.map((length, index) => ({ prompt: [...ids(40 + index, length), next], maxTokens }))
  const continued = async (engine: TestEngine): Promise<EngineRequestEnd[]> => {
    const branches = branch(2, 18)
    const ends = await engine.run(branches)
    const follow = branches.map((one, index) => ({
      prompt: [...tokens(one, ends[index] as EngineRequestEnd), 5],
      maxTokens: 18,
    }))
    return [...ends, ...(await engine.run(follow))]
  }
  const expected = await open({ drafts: 4, enablePrefixCaching: false }, continued)
  await open({ drafts: 4 }, async (engine) => {
    await engine.run(branch(1, 3))
    const ends = await continued(engine)
    expect(expectSame(ends, expected)).toBeGreaterThan(100)
    expect(ends.map((end) => end.debug?.steps)).toEqual(expected.map((end) => end.debug?.steps))
    const cached = [...lengths.map((length) => length - 16), ...lengths.map((length) => length + 16)]
    expect(ends.map(cachedTokens)).toEqual(cached)
  })
})

test('under pressure cached blocks are overwritten, and answers stay', async () => {
  const prefixes = [12, 13, 14, 15].map((seed) => ids(seed, 36))
  const requests = Array.from({ length: 12 }, (_, index): TestRequest => {
    const prefix = prefixes[[0, 1, 0, 2, 1, 1, 3, 3, 2, 0, 1, 3][index] ?? 0] ?? []
    const sampling = index % 3 === 2 ? { temperature: 1, seed: index } : {}
    return { prompt: [...prefix, ...ids(60 + index, 1 + (index % 7))], maxTokens: 8, sampling }
  })
  const expected = await open({ drafts: 4, enablePrefixCaching: false }, (engine) => engine.run(requests))
  await open({ drafts: 4, maxModelLen: 64, kvCacheTokens: 160 }, async (engine) => {
    const ends: EngineRequestEnd[] = []
    for (let index = 0; index < requests.length; index += 2) {
      ends.push(...(await engine.run(requests.slice(index, index + 2))))
    }
    expect(expectSame(ends, expected)).toBeGreaterThan(20)
    const all = requests.map((request, index) => tokens(request, ends[index] as EngineRequestEnd))
    const held = requests.map(({ prompt }, index) => findable(prompt, all.slice(0, index), true))
    const lost = ends.map((end, index) => (held[index] ?? 0) - cachedTokens(end))
    expect(Math.min(...lost)).toBe(0)
    expect(lost.filter((each) => each > 0).length).toBeGreaterThan(2)
    expect(ends.filter((end) => cachedTokens(end) > 0).length).toBeGreaterThan(2)
    engine.core.checkIntegrity()
  })
})
