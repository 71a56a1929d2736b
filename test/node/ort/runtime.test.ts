/** Starting ONNX Runtime: what it is told, and what is said when it does not start. Each case has a runtime of its own. */

import { afterEach, describe, expect, it, vi } from 'vitest'
import { serve } from '../../helpers/httpServer.ts'
import { HTML, thrownBy } from '../../helpers/modelFiles.ts'

/** ONNX Runtime, which starts with the first session. */
const runtime = vi.hoisted(() => ({
  env: { wasm: {} as Record<string, unknown>, logLevel: '' },
  create: (): Promise<unknown> => Promise.reject(new Error('not set')),
}))

vi.mock('onnxruntime-web/wasm', () => ({
  env: runtime.env,
  InferenceSession: { create: () => runtime.create() },
  Tensor: class {},
}))

const MAGIC = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0)

afterEach(() => vi.unstubAllGlobals())

/** A new module of the starter, as a new worker would have. */
async function starter(create: () => Promise<unknown>) {
  vi.resetModules()
  const { loadOrt } = await import('../../../src/ort/runtime.ts')
  runtime.create = create
  return loadOrt
}

const session = { release: () => Promise.resolve() }
const files = { wasm: new URL('file:///w.wasm'), glue: new URL('file:///g.mjs') }

/** The error of a start that ONNX Runtime fails, with these answers for its files. */
async function failure(answers: { readonly wasm?: Uint8Array | string; readonly glue?: string }) {
  const answer = (path: string, body: Uint8Array | string | undefined) =>
    body === undefined ? {} : { [path]: { body } }
  const server = await serve({ ...answer('/w.wasm', answers.wasm), ...answer('/g.mjs', answers.glue) })
  const loadOrt = await starter(() => Promise.reject(new Error('no available backend found. ERR: [wasm] ?')))
  const assets = { wasm: new URL(`${server.url}/w.wasm`), glue: new URL(`${server.url}/g.mjs`), numThreads: 1 }
  const { code, message } = await thrownBy(() => loadOrt(assets))
  await server.close()
  return { code, message, server: server.url }
}

describe('the runtime', () => {
  it('is told where its files are, and runs with one thread unless the page is isolated', async () => {
    for (const [isolated, threads] of [
      [undefined, 1],
      [false, 1],
      [true, 3],
    ] as const) {
      vi.stubGlobal('crossOriginIsolated', isolated)
      const loadOrt = await starter(() => Promise.resolve(session))
      expect((await loadOrt({ ...files, numThreads: 3 })).threads).toBe(threads)
      expect(runtime.env.wasm).toEqual({
        wasmPaths: { wasm: 'file:///w.wasm', mjs: 'file:///g.mjs' },
        numThreads: threads,
        proxy: false,
      })
    }
  })

  it('starts once', async () => {
    let starts = 0
    const loadOrt = await starter(async () => {
      starts++
      return session
    })
    const [a, b] = await Promise.all([loadOrt({ ...files, numThreads: 1 }), loadOrt({ ...files, numThreads: 1 })])
    expect(await loadOrt({ ...files, numThreads: 1 })).toBe(a)
    expect(b).toBe(a)
    expect(starts).toBe(1)
  })

  it('has the memory that was made last and is not empty', async () => {
    const { Memory } = WebAssembly
    const loadOrt = await starter(async () => {
      new WebAssembly.Memory({ initial: 2 })
      new WebAssembly.Memory({ initial: 0 })
      return session
    })
    expect((await loadOrt({ ...files, numThreads: 1 })).heapBytes()).toBe(2 * 65_536)
    expect(WebAssembly.Memory).toBe(Memory)
  })
})

describe('a runtime that does not start is BACKEND_UNAVAILABLE', () => {
  it.each([
    ['its wasm file is missing', { glue: 'export default 1' }, '/w.wasm answers HTTP 404'],
    ['its wasm file is an HTML page', { glue: 'export default 1', wasm: HTML }, '/w.wasm is an HTML page'],
    [
      'its wasm file is another file',
      { glue: 'export default 1', wasm: 'version 1' },
      '/w.wasm is not a WebAssembly file',
    ],
    ['its glue is missing', { wasm: MAGIC }, '/g.mjs answers HTTP 404'],
    ['its glue is an HTML page', { wasm: MAGIC, glue: HTML }, '/g.mjs is an HTML page'],
  ])('as %s, and says how to serve it', async (_, answers, reason) => {
    const { code, message, server } = await failure(answers)
    expect(code).toBe('BACKEND_UNAVAILABLE')
    expect(message).toBe(
      `ONNX Runtime cannot be used: ${server}${reason}: serve the dist folder of the package and give its URL as option assets`,
    )
  })

  it('as a server is not reachable', async () => {
    const loadOrt = await starter(() => Promise.reject(new Error('?')))
    const assets = {
      wasm: new URL('http://127.0.0.1:1/w.wasm'),
      glue: new URL('http://127.0.0.1:1/g.mjs'),
      numThreads: 1,
    }
    const { code, message } = await thrownBy(() => loadOrt(assets))
    expect(code).toBe('BACKEND_UNAVAILABLE')
    expect(message).toContain('http://127.0.0.1:1/g.mjs cannot be fetched')
  })

  it('with its own reason where its files are in order', async () => {
    const { code, message } = await failure({ wasm: MAGIC, glue: 'export default 1' })
    expect(code).toBe('BACKEND_UNAVAILABLE')
    expect(message).toBe('ONNX Runtime cannot be used: no available backend found. ERR: [wasm] ?')
  })

  it('at the second try in a worker: a new one is needed', async () => {
    const loadOrt = await starter(() => Promise.reject(new Error('the first reason')))
    await thrownBy(() => loadOrt({ ...files, numThreads: 1 }))
    runtime.create = () => Promise.resolve(session)
    const { code, message } = await thrownBy(() => loadOrt({ ...files, numThreads: 1 }))
    expect(code).toBe('BACKEND_UNAVAILABLE')
    expect(message).toMatch(/the first reason; that was before.*a new worker/)
  })

  it('after its memory ran out: a new worker is needed', async () => {
    const loadOrt = await starter(() => Promise.resolve(session))
    const { createSession } = await loadOrt({ ...files, numThreads: 1 })
    runtime.create = () => Promise.reject(new Error('std::bad_alloc'))
    const made = await thrownBy(() => createSession('head', new Uint8Array(1), new Uint8Array(4)))
    expect(made.code).toBe('OUT_OF_MEMORY')
    const { code, message } = await thrownBy(() => loadOrt({ ...files, numThreads: 1 }))
    expect(code).toBe('BACKEND_UNAVAILABLE')
    expect(message).toMatch(/"head".*std::bad_alloc.*only a new worker/)
  })

  it('where a policy forbids WebAssembly, which is asked before anything starts', async () => {
    vi.spyOn(WebAssembly, 'Module').mockImplementationOnce(function refuse() {
      throw new WebAssembly.CompileError("violates the following Content Security Policy directive 'script-src'")
    })
    const loadOrt = await starter(() => Promise.resolve(session))
    const { code, message } = await thrownBy(() => loadOrt({ ...files, numThreads: 1 }))
    expect(code).toBe('BACKEND_UNAVAILABLE')
    expect(message).toContain("'wasm-unsafe-eval' in script-src")
    expect((await loadOrt({ ...files, numThreads: 1 })).threads).toBe(1)
  })

  it("where a thread's worker fails, for which the runtime would wait for ever", async () => {
    class FailingWorker extends EventTarget {
      constructor() {
        super()
        queueMicrotask(() => this.dispatchEvent(new Event('error')))
      }
    }
    vi.stubGlobal('crossOriginIsolated', true)
    vi.stubGlobal('Worker', FailingWorker)
    const loadOrt = await starter(() => {
      new Worker('glue.mjs')
      return new Promise(() => {})
    })
    const { code, message } = await thrownBy(() => loadOrt({ ...files, numThreads: 2 }))
    expect(code).toBe('BACKEND_UNAVAILABLE')
    expect(message).toMatch(/a thread failed .*Cross-Origin-Embedder-Policy.*numThreads to 1/)
    expect(globalThis.Worker).toBe(FailingWorker)
  })
})
