/** What the public API does when something goes wrong, in process and through Comlink. */

import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import type { Generation } from '../../src/api/generation.ts'
import { LLM } from '../../src/api/llm.ts'
import { WeirError } from '../../src/protocol/errors.ts'
import { connect, errorOf, WAYS, type Way } from '../helpers/connect.ts'
import { failedParts, first } from '../helpers/generations.ts'
import { ENDLESS_URL, endless, MISSING_URL, MockLoader, saying } from '../helpers/scriptedModel.ts'

const STORY = 'Once upon a time there was a little girl who lived in a house near a wood — “très petite”, she said.'

describe.each(WAYS)('errors %s', (_name, open) => {
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

  it('refuses a bad request and serves the others', async () => {
    llm = await connect(way)
    const good = llm.generate('A')
    const bad = llm.generate('A', { temperature: -1 })
    const { parts, error } = await failedParts(bad)
    expect(parts).toEqual([])
    expect(error.code).toBe('INVALID_REQUEST')
    expect(error.message).toMatch(/temperature.*-1/)
    expect(error.details).toMatchObject({ field: 'temperature' })
    expect((await good.result()).text).toBe(STORY)
    const sent: object = { temperature: () => 1 }
    expect((await errorOf(llm.generate('A', sent).result())).code).toBe('INVALID_REQUEST')
  })

  it('keeps the codes of load errors', async () => {
    expect(await errorOf(connect(way, {}, MISSING_URL))).toMatchObject({
      code: 'MODEL_FETCH',
      details: { status: 404 },
    })
    expect(way.closed()).toBe(true)
    const few = await errorOf(connect(open(loader), { maxNumBatchedTokens: 4, maxNumSeqs: 8 }))
    expect(few.code).toBe('INVALID_OPTION')
    expect(few.message).toMatch(/maxNumBatchedTokens 4.*maxNumSeqs 8/)
    expect((await errorOf(connect(open(loader), { maxModelLen: 4096 }))).message).toMatch(/maxModelLen 4096/)
    expect((await errorOf(connect(open(loader), { kvCacheTokens: 512 }))).message).toMatch(/kvCacheTokens 512/)
    expect((await errorOf(connect(open(loader), { kvCacheTokens: 8 }))).message).toMatch(/kvCacheTokens 8/)
  })

  it('aborts a load', async () => {
    const controller = new AbortController()
    const loading = errorOf(connect(way, { signal: controller.signal }, ENDLESS_URL))
    await new Promise((resolve) => setTimeout(resolve, 10))
    controller.abort()
    expect((await loading).code).toBe('ABORTED')
    expect(way.closed()).toBe(true)
    const early = connect(open(loader), { signal: AbortSignal.abort() }, ENDLESS_URL)
    expect((await errorOf(early)).code).toBe('ABORTED')
  })

  it('ends every request with a fatal error and refuses more; a new load works', async () => {
    use(new MockLoader(endless))
    const options = {
      maxNumBatchedTokens: 16,
      maxNumSeqs: 8,
      speculative: { method: 'mtp', numSpeculativeTokens: 4, adaptive: false },
    } as const
    llm = await connect(way, { ...options, budgetPolicy: 'uncharged' })
    const generations = Array.from({ length: 8 }, () => llm?.generate('A') as Generation)
    const errors = await Promise.all(generations.map((generation) => errorOf(generation.result())))
    expect(new Set(errors.map(({ code }) => code))).toEqual(new Set(['BUDGET_EXCEEDED']))
    expect(errors[0]?.details).toMatchObject({ limit: 16 })
    expect(errors[0]?.fatal).toBe(true)
    const { parts } = await failedParts(generations[0] as Generation)
    expect(parts.length).toBeGreaterThan(0)
    const after = await errorOf(llm.generate('A').result())
    expect(after).toMatchObject({ code: 'BUDGET_EXCEEDED', message: errors[0]?.message })
    expect((await llm.stats()).running).toBe(0)
    await llm.dispose()

    llm = await connect(open(loader), options)
    const again = Array.from({ length: 8 }, () => llm?.generate('A', { max_tokens: 20 }).result())
    expect((await Promise.all(again)).map((result) => result?.finish_reason)).toEqual(Array(8).fill('length'))
  })

  it('ends requests with DEVICE_LOST, in a step or between two', async () => {
    use(new MockLoader(endless))
    llm = await connect(way)
    const generation = llm.generate('A')
    await first(generation)
    loader.lose()
    expect((await errorOf(generation.result())).code).toBe('DEVICE_LOST')
    expect((await errorOf(llm.generate('A').result())).code).toBe('DEVICE_LOST')
    await llm.dispose()

    llm = await connect(open(loader))
    await llm.generate('A', { max_tokens: 1 }).result()
    loader.lose()
    expect((await errorOf(llm.generate('A').result())).code).toBe('DEVICE_LOST')
  })

  it('ends requests when the other side is gone', async () => {
    use(new MockLoader(endless))
    llm = await connect(way)
    const generation = llm.generate('A')
    await first(generation)
    way.crash()
    const { parts, error } = await failedParts(generation)
    expect(parts.length).toBeGreaterThan(0)
    expect(error.message).toMatch(/worker failed/)
    expect((await errorOf(llm.stats())).message).toMatch(/worker failed/)
    expect((await errorOf(llm.generate('A').result())).message).toMatch(/worker failed/)
  })

  it('is disposed of once, with all that is in flight', async () => {
    use(new MockLoader(endless))
    llm = await connect(way)
    const generation = llm.generate('A')
    await first(generation)
    loader.runner?.pause()
    await Promise.all([llm.dispose(), llm.dispose()])
    expect(loader.disposed).toBe(1)
    expect(way.closed()).toBe(true)
    expect((await errorOf(generation.result())).code).toBe('DISPOSED')
    expect((await errorOf(llm.generate('A').result())).code).toBe('DISPOSED')
    expect((await errorOf(llm.stats())).code).toBe('DISPOSED')
  })

  it('goes on when a callback of the page throws, and reports what it threw', async () => {
    const reported: unknown[] = []
    const onUncaught = (error: unknown) => reported.push(error)
    const before = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException')
    process.on('uncaughtException', onUncaught)
    try {
      llm = await connect(way, {
        onStep: () => {
          throw new Error('the page made a mistake')
        },
      })
      expect((await llm.generate('A', { max_tokens: 3 }).result()).token_ids).toHaveLength(3)
      await expect.poll(() => reported).toEqual(Array(3).fill(new Error('the page made a mistake')))
    } finally {
      process.off('uncaughtException', onUncaught)
      for (const listener of before) process.on('uncaughtException', listener)
    }
  })

  it('leaves no unhandled rejection behind a generation that nobody reads', async () => {
    const unhandled: unknown[] = []
    const onUnhandled = (reason: unknown) => unhandled.push(reason)
    process.on('unhandledRejection', onUnhandled)
    try {
      llm = await connect(way)
      llm.generate('A', { top_p: 2 })
      llm.generate('A', { signal: AbortSignal.timeout(1) })
      llm.generate('')
      await llm.dispose()
      llm.generate('A')
      await new Promise((resolve) => setTimeout(resolve, 20))
      expect(unhandled).toEqual([])
    } finally {
      process.off('unhandledRejection', onUnhandled)
    }
  })
})

it('checks model and options before it starts a worker', async () => {
  vi.stubGlobal('Worker', class {})
  onTestFinished(() => void vi.unstubAllGlobals())
  expect((await errorOf(LLM.load('not a url'))).code).toBe('INVALID_OPTION')
  const unknown: object = { batchSize: 4 }
  expect((await errorOf(LLM.load('http://models.test/', unknown))).message).toMatch(/batchSize/)
  expect((await errorOf(LLM.plan('http://models.test/', unknown))).code).toBe('INVALID_OPTION')
  expect((await errorOf(LLM.load('http://models.test/', { signal: AbortSignal.abort() }))).code).toBe('ABORTED')
  expect(new WeirError('ABORTED', 'x').fatal).toBe(false)
})
