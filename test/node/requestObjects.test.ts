/** The objects of the API as frameworks and other windows hand them over: proxies, null, typed arrays, signals, mistakes. */

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { bindMethods } from '../../src/api/bindMethods.ts'
import { LLM } from '../../src/api/llm.ts'
import type { GenerateOptions, LoadOptions, LoadWarning } from '../../src/protocol/options.ts'
import { connect, errorOf, WAYS, type Way } from '../helpers/connect.ts'
import { partsOf } from '../helpers/generations.ts'
import { proxied } from '../helpers/proxied.ts'
import { ENDLESS_URL, endless, MODEL_URL, MockLoader, tokenizer } from '../helpers/scriptedModel.ts'

/** What an AbortSignal of another window is to `instanceof`. */
class ForeignSignal extends EventTarget {
  aborted = false
  reason: unknown

  abort(reason: unknown): void {
    this.aborted = true
    this.reason = reason
    this.dispatchEvent(new Event('abort'))
  }
}

/** As browsers have them: nothing of it answers through a proxy. */
class BrandedSignal extends EventTarget {
  #aborted = false

  get aborted(): boolean {
    return this.#aborted
  }
}

function foreignSignal(): { signal: AbortSignal; abort: (reason: unknown) => void } {
  const signal = new ForeignSignal()
  return { signal: signal as unknown as AbortSignal, abort: (reason) => signal.abort(reason) }
}

describe.each(WAYS)('objects %s', (_name, open) => {
  let loader: MockLoader
  let way: Way
  let llm: LLM | undefined

  beforeEach(() => {
    loader = new MockLoader(endless)
    way = open(loader)
  })
  afterEach(async () => {
    await llm?.dispose()
    llm = undefined
  })

  it('an LLM and a Generation work behind a proxy', async () => {
    llm = proxied(await connect(way, { debug: { trace: true } }))
    const generation = proxied(llm.generate('A', { max_tokens: 3 }))
    const parts = await partsOf(generation)
    expect(parts.flatMap(({ token_ids }) => token_ids)).toEqual((await generation.result()).token_ids)
    for await (const _ of proxied(llm.generate('A'))) break
    expect((await llm.stats()).steps).toBeGreaterThan(2)
    await llm.resetPrefixCache()
    expect(await llm.trace()).toMatch(/^{"weirTrace"/)
    expect(llm.model.name).toBe('fairy-tales')
    const { generate } = llm
    expect((await generate('A', { max_tokens: 2 }).result()).token_ids).toHaveLength(2)
    await llm.dispose()
    expect(loader.disposed).toBe(1)
  })

  it('options and prompts behind proxies are sent as plain data', async () => {
    const options: LoadOptions = {
      maxNumSeqs: 4,
      speculative: { method: 'mtp', numSpeculativeTokens: 2 },
      debug: { steps: true },
    }
    llm = await connect(way, proxied(options))
    expect(llm.options).toMatchObject({ maxNumSeqs: 4, speculative: options.speculative, debug: options.debug })
    const request: GenerateOptions = {
      max_tokens: 4,
      logit_bias: { 5: 1 },
      stop: ['one', 'two'],
      stop_token_ids: [9],
      seed: 3,
    }
    const prompt = { prompt_token_ids: [5, 6, 7] }
    const wrapped = await llm.generate(proxied(prompt), proxied(request)).result()
    expect(wrapped.token_ids).toHaveLength(4)
    expect(loader.runner?.tableWrites.at(-1)?.sampling.logitBias).toEqual([[5, 1]])
  })

  it('ids may be in a typed array', async () => {
    llm = await connect(way)
    const ids = tokenizer.encode('Once upon a time')
    for (const kind of [Int32Array, Uint32Array, Uint16Array]) {
      const { usage } = await llm.generate({ prompt_token_ids: kind.from(ids) }, { max_tokens: 1 }).result()
      expect(usage.prompt_tokens).toBe(ids.length)
    }
  })

  it('null and nothing are no options, of a load, a request and every field of it', async () => {
    llm = await connect(way, null)
    await llm.dispose()
    llm = await connect(open(loader), { maxModelLen: 16 })
    const [bare, none] = await Promise.all(
      [null, undefined].map((nothing) => llm?.generate('A', nothing as null).result()),
    )
    expect(bare?.token_ids.length).toBe(none?.token_ids.length)
    const unset = { temperature: null, top_p: null, stop: null, logit_bias: null, seed: null, n: null, signal: null }
    const { token_ids, choices } = await llm.generate('A', { ...unset, max_tokens: 2 }).result()
    expect([token_ids.length, choices.length]).toEqual([2, 1])
    expect(loader.runner?.tableWrites.at(-1)?.sampling).toMatchObject({ temperature: 0.8, topP: 0.95, logitBias: [] })
  })

  it.each<[string, unknown, RegExp]>([
    [
      'an AbortController as signal',
      { signal: new AbortController() },
      /signal must be an AbortSignal.*AbortController/,
    ],
    ['an AbortController as options', new AbortController(), /options must be an object, not an AbortController/],
    ['a Map as options', new Map([['max_tokens', 4]]), /options must be an object, not a Map/],
    ['a string as options', 'max_tokens', /options must be an object, not 'max_tokens'/],
    ['a Map as a field', { logit_bias: new Map() }, /logit_bias must be plain data.*not a Map/],
    ['a function as a field', { temperature: () => 1 }, /temperature must be plain data.*not a function/],
    [
      'a signal behind a proxy',
      { signal: new Proxy(new BrandedSignal(), {}) },
      /signal must be an AbortSignal.*no proxy of one/,
    ],
    [
      'a field that throws',
      {
        get seed(): number {
          throw new Error('not yet')
        },
      },
      /cannot be read: not yet/,
    ],
    ['a cycle', { stop: cycle() }, /stop must be plain data.*nested so deeply/],
    ['camelCase', { maxTokens: 4 }, /unknown request field maxTokens: did you mean max_tokens\?/],
    ['a slip', { temprature: 4 }, /did you mean temperature\?/],
    ['another signal', { sginal: 4 }, /did you mean signal\?/],
    ['an unknown field', { mirostat: 4 }, /unknown request field mirostat: the fields are max_tokens/],
  ])('%s is an error of the Generation, which leaves nothing behind', async (_what, options, message) => {
    llm = await connect(way)
    const generation = llm.generate('A', options as GenerateOptions)
    const error = await errorOf(generation.result())
    expect(error.code).toBe('INVALID_REQUEST')
    expect(error.message).toMatch(message)
    expect(await errorOf(partsOf(generation))).toBe(error)
    expect((await llm.generate('A', { max_tokens: 1 }).result()).token_ids).toHaveLength(1)
    expect((await llm.stats()).running).toBe(0)
  })

  it('signals of another window abort a load and a request', async () => {
    const load = foreignSignal()
    const loading = errorOf(connect(way, { signal: load.signal }, ENDLESS_URL))
    load.abort('enough')
    expect(await loading).toMatchObject({ code: 'ABORTED', cause: 'enough' })

    llm = await connect(open(loader), { signal: foreignSignal().signal })
    const request = foreignSignal()
    const generation = llm.generate('A', { signal: request.signal })
    await generation[Symbol.asyncIterator]().next()
    request.abort('enough')
    expect(await errorOf(generation.result())).toMatchObject({ code: 'ABORTED', cause: 'enough' })
  })

  it('a model without a tokenizer loads with a warning; ids work, and text says why not', async () => {
    const warnings: LoadWarning[] = []
    llm = await connect(way, { onWarning: (warning) => warnings.push(warning) }, `${MODEL_URL}?ids`)
    expect(warnings).toEqual([{ code: 'NO_TOKENIZER', message: expect.stringContaining('tokenizer.json') }])
    const { token_ids, text } = await llm.generate({ prompt_token_ids: [5] }, { max_tokens: 3 }).result()
    expect([token_ids.length, text]).toEqual([3, ''])
    const refused = await errorOf(llm.generate('A').result())
    expect(refused).toMatchObject({ code: 'INVALID_REQUEST', message: expect.stringContaining('tokenizer.json') })
    await llm.dispose()

    const console = vi.spyOn(globalThis.console, 'warn').mockImplementation(() => {})
    try {
      llm = await connect(open(loader), {}, `${MODEL_URL}?ids`)
      expect(console).toHaveBeenCalledExactlyOnceWith(`weir: ${warnings[0]?.message}`)
      await llm.dispose()
      llm = await connect(open(loader))
      expect(console).toHaveBeenCalledTimes(1)
    } finally {
      console.mockRestore()
    }
  })
})

it('a plan listens to its signal', async () => {
  const { signal, abort } = foreignSignal()
  abort('enough')
  vi.stubGlobal('Worker', class {})
  expect(await errorOf(LLM.plan('http://models.test/', { signal }))).toMatchObject({ code: 'ABORTED', cause: 'enough' })
  vi.unstubAllGlobals()
})

it('a bound method cannot be lost, and getters are left alone', () => {
  class Counter {
    #count = 0
    constructor() {
      bindMethods(this)
    }
    get count(): number {
      return this.#count
    }
    add(): number {
      return ++this.#count
    }
  }
  const counter = new Counter()
  const { add } = counter
  expect([add(), new Proxy(counter, {}).add(), counter.count]).toEqual([1, 2, 2])
  expect(Object.keys(counter)).toEqual([])
})

function cycle(): unknown[] {
  const array: unknown[] = []
  array.push(array)
  return array
}
