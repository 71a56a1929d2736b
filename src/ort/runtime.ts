/**
 * Starts ONNX Runtime's WebAssembly build in this worker. It can start once: after a failure only a new worker can try again.
 * It must never know a model.
 */

import { env, InferenceSession } from 'onnxruntime-web/wasm'
import { WeirError } from '../protocol/errors.ts'
import { messageOf } from './faults.ts'
import { encodeModel } from './onnx/model.ts'
import { type CreateSession, createSession } from './session.ts'
import { possibleThreads } from './threads.ts'
import { watchStart } from './watchStart.ts'

export interface OrtAssets {
  /** ort-wasm-simd-threaded.wasm */
  readonly wasm: URL
  /** ort-wasm-simd-threaded.mjs, a file of its own: each thread is a worker that runs it */
  readonly glue: URL
  /** at least 1; where threads cannot share memory 1 is taken */
  readonly numThreads: number
}

export interface Ort {
  /** threads that run a session, this worker's included */
  readonly threads: number
  readonly createSession: CreateSession
  /** bytes of the WebAssembly memory, which never shrinks */
  heapBytes(): number
}

const SERVE = 'serve the dist folder of the package and give its URL as option assets'

/** An empty module: compiling it needs what compiling any other needs. */
const EMPTY_MODULE = Uint8Array.of(0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00)

let started: Promise<Ort> | undefined
let failed: WeirError | undefined

/**
 * Starts the runtime, or returns the one that runs already.
 * @throws BACKEND_UNAVAILABLE saying why, and what to do: a file is missing or is an HTML page, a policy forbids WebAssembly,
 * or the runtime failed in this worker before
 */
export async function loadOrt(assets: OrtAssets): Promise<Ort> {
  if (failed) {
    throw new WeirError(
      'BACKEND_UNAVAILABLE',
      `${failed.message}; that was before, and only a new worker can try again`,
    )
  }
  checkWebAssembly()
  started ??= start(assets)
  try {
    return await started
  } catch (thrown) {
    failed = WeirError.from(thrown)
    throw failed
  }
}

async function start(assets: OrtAssets): Promise<Ort> {
  const threads = await possibleThreads(assets)
  env.logLevel = 'error'
  Object.assign(env.wasm, {
    wasmPaths: { wasm: assets.wasm.href, mjs: assets.glue.href },
    numThreads: threads,
    proxy: false,
  })
  try {
    const { memory } = await watchStart(initialise)
    return { threads, createSession: createOrFail, heapBytes: () => memory?.buffer.byteLength ?? 0 }
  } catch (thrown) {
    throw unavailable(await reasonOf(thrown, assets), thrown)
  }
}

/** The runtime is not to be trusted after its memory ran out: sessions that were whole no longer run. */
const createOrFail: CreateSession = async (name, model, weights) => {
  try {
    return await createSession(name, model, weights)
  } catch (thrown) {
    failed = WeirError.from(thrown)
    throw failed
  }
}

/** The first session starts the runtime: here one that copies its input. */
async function initialise(): Promise<void> {
  const value = (name: string) => ({ name, shape: [1] })
  const copy = { operator: 'Identity', inputs: ['x'], outputs: ['y'] }
  const model = encodeModel({ inputs: [value('x')], outputs: [value('y')], weights: [], nodes: [copy] })
  const session = await InferenceSession.create(model, { executionProviders: ['wasm'] })
  await session.release()
}

function checkWebAssembly(): void {
  try {
    new WebAssembly.Module(EMPTY_MODULE)
  } catch (thrown) {
    throw unavailable(
      `WebAssembly cannot be compiled here (${messageOf(thrown)}): the Content-Security-Policy of the page and its workers must ` +
        `have 'wasm-unsafe-eval' in script-src`,
      thrown,
    )
  }
}

/** Why the runtime did not start: it says so of its files only vaguely, so they are asked for once more. */
async function reasonOf(thrown: unknown, { wasm, glue }: OrtAssets): Promise<string> {
  const reason = (await faultOf(glue)) ?? (await faultOf(wasm, EMPTY_MODULE.subarray(0, 4)))
  return reason ? `${reason}: ${SERVE}` : messageOf(thrown)
}

/** @param magic the first bytes of the file. @returns what is wrong with it, undefined if nothing is */
async function faultOf(url: URL, magic?: Uint8Array): Promise<string | undefined> {
  if (url.protocol === 'file:') return undefined // not for fetch
  try {
    const response = await fetch(url, { credentials: 'same-origin' })
    const start = await firstBytes(response)
    if (!response.ok) return `${url.href} answers HTTP ${response.status}`
    if (new TextDecoder().decode(start).trimStart().startsWith('<')) return `${url.href} is an HTML page`
    if (magic?.some((byte, index) => start[index] !== byte)) return `${url.href} is not a WebAssembly file`
    return undefined
  } catch (thrown) {
    return `${url.href} cannot be fetched (${messageOf(thrown)})`
  }
}

async function firstBytes(response: Response): Promise<Uint8Array> {
  const reader = response.body?.getReader()
  const { value } = (await reader?.read()) ?? {}
  await reader?.cancel()
  return value ?? new Uint8Array()
}

function unavailable(reason: string, cause?: unknown): WeirError {
  return new WeirError('BACKEND_UNAVAILABLE', `ONNX Runtime cannot be used: ${reason}`, {}, { cause })
}
