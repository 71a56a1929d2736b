/**
 * Modules that the worker loads when they are needed, by the absolute URLs that the page has sent: a worker made of a Blob has no
 * place that relative ones could count from.
 */

import type { Backend } from '../backend/backend.ts'
import type { AssetUrls } from '../protocol/connection.ts'
import { WeirError } from '../protocol/errors.ts'

export type ReplayModule = typeof import('./replay.ts')
type OrtModule = typeof import('../ort/ortBackend.ts')

export interface LazyModules {
  /** the module of `LLM.replay` */
  replay(): Promise<ReplayModule>
  /** ONNX Runtime as a backend */
  wasm(): Promise<Backend>
}

/** @throws BACKEND_UNAVAILABLE */
export async function loadReplay({ replay }: AssetUrls): Promise<ReplayModule> {
  return load<ReplayModule>('replay.js', replay)
}

/** @throws BACKEND_UNAVAILABLE */
export async function loadOrt({ ort, ortWasm, ortGlue }: AssetUrls): Promise<Backend> {
  const { ortBackend } = await load<OrtModule>('ort.mjs', ort)
  return ortBackend({
    wasm: required('ort-wasm-simd-threaded.wasm', ortWasm),
    glue: required('ort-wasm-simd-threaded.mjs', ortGlue),
  })
}

async function load<Module>(file: string, url: string | undefined): Promise<Module> {
  const known = required(file, url)
  try {
    // Known at run time only: bundlers must leave it alone.
    return await import(/* @vite-ignore */ /* webpackIgnore: true */ /* turbopackIgnore: true */ known)
  } catch (cause) {
    throw unavailable(file, cause instanceof Error ? cause.message : String(cause), known, cause)
  }
}

function required(file: string, url: string | undefined): string {
  if (url === undefined) throw unavailable(file, 'the bundler has left it no URL')
  return url
}

function unavailable(file: string, reason: string, url?: string, cause?: unknown): WeirError {
  return new WeirError(
    'BACKEND_UNAVAILABLE',
    `${file} could not be loaded (${reason}): serve the dist folder of the package and give its URL as option assets`,
    { ...(url !== undefined && { url }) },
    { cause },
  )
}
