/** The public API over a scripted model, in process and through Comlink: loading, streaming, leaving. */

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { LLM } from '../../src/api/llm.ts'
import { CACHED_BLOCK, FREE_BLOCK } from '../../src/protocol/blockMap.ts'
import type { LoadProgress } from '../../src/protocol/options.ts'
import type { StepRecord } from '../../src/protocol/stepRecord.ts'
import { connect, errorOf, WAYS, type Way } from '../helpers/connect.ts'
import { failedParts, first, partsOf, textOf } from '../helpers/generations.ts'
import { endless, MockLoader, saying } from '../helpers/scriptedModel.ts'

const STORY = 'Once upon a time there was a little girl who lived in a house near a wood — “très petite”, she said.'

describe.each(WAYS)('LLM %s', (_name, open) => {
  let loader: MockLoader
  let way: Way
  let llm: LLM | undefined

  beforeEach(() => {
    loader = new MockLoader(saying(STORY))
    way = open(loader)
  })
  afterEach(async () => {
    await llm?.dispose()
    llm = undefined
  })

  function use(script: MockLoader): void {
    loader = script
    way = open(loader)
  }

  it('tells what was loaded, and how loading went', async () => {
    const phases: LoadProgress['phase'][] = []
    llm = await connect(way, { kvCacheTokens: 2050, onProgress: ({ phase }) => phases.push(phase) })
    expect(llm.model.name).toBe('fairy-tales')
    expect(llm.options).toMatchObject({
      maxNumBatchedTokens: 256,
      maxNumSeqs: 16,
      maxModelLen: 1024,
      kvCacheTokens: 2048,
    })
    expect(llm.options.speculative).toBeUndefined()
    expect(llm.options.backend).toBe('webgpu')
    expect(llm.device).toMatchObject({ backend: 'webgpu', reason: 'a test', adapter: { software: true } })
    expect(llm.memory.totalBytes).toBe(1000)
    expect(phases).toEqual(['fetch', 'ready'])
  })

  it('streams, gives the result, or both', async () => {
    llm = await connect(way)
    const streamed = await partsOf(llm.generate('A'))
    const awaited = await llm.generate('A').result()
    const both = llm.generate('A')
    const [parts, result] = await Promise.all([partsOf(both), both.result()])

    expect(textOf(streamed)).toBe(STORY)
    expect(awaited.text).toBe(STORY)
    expect(textOf(parts)).toBe(result.text)
    expect(parts.flatMap(({ token_ids }) => token_ids)).toEqual(result.token_ids)
    expect(parts.map(({ finish_reason }) => finish_reason).filter(Boolean)).toEqual(['stop'])
    expect(parts.at(-1)?.finish_reason).toBe('stop')
    expect(parts.length).toBe(result.token_ids.length)
    expect(result.usage.completion_tokens).toBe(result.token_ids.length)
    expect(result.usage.total_tokens).toBe(result.usage.prompt_tokens + result.usage.completion_tokens)
    expect(result.usage).not.toHaveProperty('speculation')
    // A reader that comes late misses nothing.
    expect(await partsOf(both)).toEqual(parts)
  })

  it('gives the same answer whatever is drafted, with several tokens in a part', async () => {
    llm = await connect(way, { speculative: { method: 'mtp', numSpeculativeTokens: 4, adaptive: false } })
    const generation = llm.generate('A')
    const { text, token_ids, usage } = await generation.result()
    expect(text).toBe(STORY)
    expect((await partsOf(generation)).length).toBeLessThan(token_ids.length)
    expect(usage.completion_tokens_details.accepted_prediction_tokens).toBeGreaterThan(0)
    expect(usage.completion_tokens_details.rejected_prediction_tokens).toBeGreaterThan(0)
  })

  it('starts at once, without a reader', async () => {
    const steps: StepRecord[] = []
    llm = await connect(way, { onStep: (record) => steps.push(record) })
    const quiet = llm.generate('A', { max_tokens: 3 })
    await llm.generate('A', { max_tokens: 6 }).result()
    expect(steps[0]?.running).toBe(2)
    expect((await quiet.result()).token_ids).toHaveLength(3)
  })

  it('aborts the request whose loop is left, and no other', async () => {
    use(new MockLoader(endless))
    llm = await connect(way)
    const left = llm.generate('A')
    const other = llm.generate('A', { max_tokens: 40 })
    const seen: number[] = []
    for await (const { token_ids } of left) {
      seen.push(...token_ids)
      if (seen.length >= 5) break
    }
    const result = await left.result()
    expect(result.finish_reason).toBe('abort')
    expect(result.token_ids.slice(0, seen.length)).toEqual(seen)
    expect(result.token_ids.length).toBeLessThan(1000)
    expect((await other.result()).token_ids).toHaveLength(40)
    const { running, waiting, blockOwners } = await llm.stats()
    expect([running, waiting]).toEqual([0, 0])
    expect(blockOwners.every((owner) => owner === FREE_BLOCK || owner === CACHED_BLOCK)).toBe(true)
  })

  it('rejects with ABORTED when the signal says so; what was streamed stays', async () => {
    use(new MockLoader(endless))
    llm = await connect(way)
    const controller = new AbortController()
    const generation = llm.generate('A', { signal: controller.signal })
    const other = llm.generate('A', { max_tokens: 40 })
    await first(generation)
    controller.abort(new Error('enough'))
    const { parts, error } = await failedParts(generation)
    expect(error.code).toBe('ABORTED')
    expect(error.cause).toEqual(new Error('enough'))
    expect(parts.length).toBeGreaterThan(0)
    expect((await errorOf(generation.result())).code).toBe('ABORTED')
    expect((await other.result()).finish_reason).toBe('length')
    expect((await llm.stats()).running).toBe(0)
  })

  it('sends nothing for a signal that has spoken already', async () => {
    llm = await connect(way)
    const error = await errorOf(llm.generate('A', { signal: AbortSignal.abort() }).result())
    expect(error.code).toBe('ABORTED')
    await llm.generate('A', { max_tokens: 1 }).result()
    expect(loader.runner?.tableWrites).toHaveLength(1)
  })
})
