/** What a request may say about its scheduling, through the public API: prefix cache, salt, priority. */

import { afterEach, describe, expect, it, vi } from 'vitest'
import type { LLM } from '../../src/api/llm.ts'
import { EngineCore } from '../../src/engine/engineCore.ts'
import { CACHED_BLOCK } from '../../src/protocol/blockMap.ts'
import type { LoadOptions } from '../../src/protocol/options.ts'
import type { SamplingFields } from '../../src/protocol/request.ts'
import { connect, errorOf, WAYS } from '../helpers/connect.ts'
import { endless, MockLoader } from '../helpers/scriptedModel.ts'

/** Two whole blocks and a half. */
const PROMPT = { prompt_token_ids: Array.from({ length: 40 }, (_, i) => 100 + i) }

describe.each(WAYS)('scheduling fields %s', (_name, open) => {
  let llm: LLM | undefined
  afterEach(async () => {
    vi.restoreAllMocks()
    await llm?.dispose()
    llm = undefined
  })

  async function use(options: LoadOptions = {}): Promise<LLM> {
    llm = await connect(open(new MockLoader(endless)), options)
    return llm
  }

  async function cachedTokens(model: LLM, fields: SamplingFields = {}): Promise<number> {
    const { usage } = await model.generate(PROMPT, { max_tokens: 2, ...fields }).result()
    return usage.prompt_tokens_details.cached_tokens
  }

  it('tell how much of the prompt was cached', async () => {
    const model = await use()
    expect(await cachedTokens(model)).toBe(0)
    expect(await cachedTokens(model)).toBe(32)
    expect([...(await model.stats()).blockOwners]).toContain(CACHED_BLOCK)
    const without = await connect(open(new MockLoader(endless)), { enablePrefixCaching: false })
    expect([await cachedTokens(without), await cachedTokens(without)]).toEqual([0, 0])
    await without.dispose()
  })

  it('give the cached tokens of the first sample, not the sum', async () => {
    const model = await use()
    expect(await cachedTokens(model, { n: 4 })).toBe(0)
    expect(await cachedTokens(model, { n: 4 })).toBe(32)
  })

  it('share cached tokens under the same salt alone', async () => {
    const model = await use()
    expect(await cachedTokens(model, { cache_salt: 'a' })).toBe(0)
    expect(await cachedTokens(model, { cache_salt: 'b' })).toBe(0)
    expect(await cachedTokens(model)).toBe(0)
    expect(await cachedTokens(model, { cache_salt: 'a'.repeat(128) })).toBe(0)
    expect(await cachedTokens(model, { cache_salt: 'a' })).toBe(32)
    expect(await cachedTokens(model)).toBe(32)
  })

  it('begin anew after the prefix cache is reset, while requests go on', async () => {
    const model = await use()
    const running = model.generate(PROMPT, { max_tokens: 60 })
    await cachedTokens(model)
    expect(await cachedTokens(model)).toBe(32)
    expect(await model.resetPrefixCache()).toBeUndefined()
    expect([...(await model.stats()).blockOwners]).not.toContain(CACHED_BLOCK)
    expect(await cachedTokens(model)).toBe(0)
    expect((await running.result()).token_ids).toHaveLength(60)
    await model.dispose()
    expect((await errorOf(model.resetPrefixCache())).code).toBe('DISPOSED')
  })

  it('let the lower priority number in first', async () => {
    const model = await use({ schedulingPolicy: 'priority', maxNumSeqs: 1 })
    const ended: number[] = []
    const priorities = [5, -1000, 1000, 0, -5, undefined]
    await Promise.all(
      priorities.map(async (priority, index) => {
        await model.generate('A', { max_tokens: 2, ...(priority !== undefined && { priority }) }).result()
        ended.push(index)
      }),
    )
    expect(ended).toEqual([1, 4, 3, 5, 0, 2])
  })

  it('refuse a priority that the policy would not heed', async () => {
    const model = await use()
    const error = await errorOf(model.generate('A', { priority: 1 }).result())
    expect(error.code).toBe('INVALID_REQUEST')
    expect(error.message).toMatch(/priority 1 .*schedulingPolicy/)
    expect((await model.generate('A', { priority: 0, max_tokens: 1 }).result()).token_ids).toHaveLength(1)
  })

  it('hold for every sample, and of samples that cannot all be added none stays', async () => {
    const model = await use({ schedulingPolicy: 'priority' })
    const engineAdd = EngineCore.prototype.add
    const add = vi.spyOn(EngineCore.prototype, 'add').mockImplementation(function (this: EngineCore, request) {
      if (request.sampling.sampleIndex === 2) throw new Error('a defect')
      engineAdd.call(this, request)
    })
    const fields = { priority: -3, cache_salt: 'mine', max_tokens: 1 }
    expect((await errorOf(model.generate(PROMPT, { n: 4, ...fields }).result())).message).toBe('a defect')
    const heard = { priority: -3, cacheSalt: 'mine' }
    expect(add.mock.calls.map(([request]) => request)).toMatchObject([heard, heard, heard])
    const { running, waiting, steps } = await model.stats()
    expect([running, waiting, steps]).toEqual([0, 0, 0])
    expect((await model.generate(PROMPT, { n: 2, ...fields }).result()).choices).toHaveLength(2)
  })
})
