/** The order in which a worker is looked for, with workers that do as told. */

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { LLM } from '../../src/api/llm.ts'
import { startWorker, type WorkerSource, workerSource } from '../../src/api/worker/startWorker.ts'
import type { Way } from '../../src/api/worker/ways.ts'
import { type ConnectMessage, READY } from '../../src/protocol/connection.ts'
import { errorOf } from '../helpers/connect.ts'

type Conduct = 'answers' | 'throws' | 'fails' | 'breaks' | 'is silent'

/** Enough of a Worker for `meet`. */
class FakeWorker extends EventTarget {
  terminated = 0
  readonly messages: ConnectMessage[] = []
  readonly #conduct: Conduct

  constructor(conduct: Conduct) {
    super()
    if (conduct === 'throws') throw new TypeError('refused')
    this.#conduct = conduct
    if (conduct === 'fails') setTimeout(() => this.dispatchEvent(new Event('error')))
    const broken = Object.assign(new Event('error'), { message: 'Uncaught SyntaxError' })
    if (conduct === 'breaks') setTimeout(() => this.dispatchEvent(broken))
  }

  postMessage(message: ConnectMessage, [port]: MessagePort[]): void {
    this.messages.push(message)
    if (this.#conduct === 'answers') port?.postMessage({ type: READY, locked: false })
    else port?.close()
  }

  terminate(): void {
    this.terminated++
  }
}

const ASSETS = { replay: 'http://page.test/replay.js' }

/** One way after another, named by their place and conduct, and the workers they began. */
function rig(conducts: readonly Conduct[], owned = true): { source: WorkerSource; workers: FakeWorker[] } {
  const workers: FakeWorker[] = []
  const ways = conducts.map(
    (conduct, index): Way => ({
      name: `way ${index} ${conduct}`,
      owned,
      begin: () => {
        const worker = new FakeWorker(conduct)
        workers.push(worker)
        return worker as unknown as Worker
      },
    }),
  )
  return { source: { ways, assets: ASSETS }, workers }
}

const start = (source: WorkerSource, signal?: AbortSignal) => startWorker(source, signal, 50)

describe('a worker is started', () => {
  it('by the first way that answers, and what failed before is terminated', async () => {
    const { source, workers } = rig(['throws', 'fails', 'breaks', 'is silent', 'answers', 'answers'])
    const started = await start(source)
    expect(started).toMatchObject({ worker: workers[3], owned: true, lock: undefined })
    expect(workers.map(({ terminated }) => terminated)).toEqual([1, 1, 1, 0])
    expect(workers[3]?.messages).toEqual([expect.objectContaining({ assets: ASSETS })])
    started.port.close()
  })

  it('by the way that was taken last, before all others', async () => {
    const { source, workers } = rig(['fails', 'answers'])
    for (const begun of [2, 3]) {
      const { port, worker } = await start(source)
      port.close()
      expect(workers).toHaveLength(begun)
      expect(worker).toBe(workers.at(-1))
    }
  })

  it('or the error lists every way with its reason', async () => {
    const error = await errorOf(start(rig(['throws', 'fails', 'breaks', 'is silent']).source))
    expect(error.code).toBe('BACKEND_UNAVAILABLE')
    expect(error.details).toEqual({ attempts: 4 })
    expect(error.message.split('\n').filter((line) => line.startsWith('- '))).toEqual([
      '- way 0 throws: refused',
      '- way 1 fails: it could not be loaded',
      '- way 2 breaks: Uncaught SyntaxError',
      '- way 3 is silent: no answer within 0.05 s',
    ])
  })

  it("or not at all once the signal says so, and a page's own worker is left alone", async () => {
    const controller = new AbortController()
    const { source, workers } = rig(['is silent', 'throws'])
    setTimeout(() => controller.abort(), 5)
    expect((await errorOf(startWorker(source, controller.signal))).code).toBe('ABORTED')
    expect(workers.map(({ terminated }) => terminated)).toEqual([1])
    const own = rig(['answers'], false)
    expect((await errorOf(start(own.source, controller.signal))).code).toBe('ABORTED')
    expect(own.workers.map(({ terminated }) => terminated)).toEqual([0])
  })
})

describe('a worker comes', () => {
  const names = (...options: Parameters<typeof workerSource>) => workerSource(...options).ways.map(({ name }) => name)

  beforeEach(() => {
    vi.stubGlobal('Worker', FakeWorker)
    vi.stubGlobal('origin', 'http://page.test')
    vi.stubGlobal('location', { href: 'http://page.test/app/' })
  })
  afterEach(() => {
    vi.unstubAllGlobals()
  })

  it('from beside the library, then from its text', () => {
    expect(names({})).toEqual(['worker.js beside the library', 'a Blob of the whole worker'])
  })

  it('from the folder of `assets`, and from another origin by a Blob too', () => {
    expect(names({ assets: '../weir' })).toEqual(['http://page.test/weir/worker.js', 'a Blob of the whole worker'])
    const elsewhere = 'http://cdn.test/weir/worker.js'
    const ways = [elsewhere, `a Blob that imports ${elsewhere}`, 'a Blob of the whole worker']
    expect(names({ assets: new URL('http://cdn.test/weir') })).toEqual(ways)
    expect(workerSource({ assets: 'http://cdn.test/weir' }).assets).toEqual({
      replay: 'http://cdn.test/weir/replay.js',
      ort: 'http://cdn.test/weir/ort.mjs',
      ortWasm: 'http://cdn.test/weir/ort-wasm-simd-threaded.wasm',
      ortGlue: 'http://cdn.test/weir/ort-wasm-simd-threaded.mjs',
    })
  })

  it('from the page alone when it has one', () => {
    expect(names({ worker: () => new Worker('') })).toEqual(['option worker'])
  })
})

describe('without workers', () => {
  it.each([
    ['load', () => LLM.load('models/tiny/')],
    ['plan', () => LLM.plan('models/tiny/')],
    ['probe', () => LLM.probe()],
    ['replay', () => LLM.replay('')],
  ])('LLM.%s says where there are some', async (_name, call) => {
    const { code, message } = await errorOf(call())
    expect(code).toBe('BACKEND_UNAVAILABLE')
    expect(message).toMatch(/no Worker here.*Node.*in a page/)
  })

  it('what is wrong with the options is said first', async () => {
    const wrong = [
      { worker: 'worker.js' },
      { assets: 7 },
      { assets: 'data:text/plain,' },
      { assets: 'weir/' },
    ] as unknown as Parameters<typeof LLM.probe>[0][]
    for (const options of wrong) {
      const { code, message } = await errorOf(LLM.probe(options))
      expect(code).toBe('INVALID_OPTION')
      expect(message).toMatch(/^(worker|assets) must be/)
    }
    expect((await errorOf(LLM.probe({ speculative: {} } as object))).code).toBe('INVALID_OPTION')
  })
})
