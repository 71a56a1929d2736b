/** ONNX Runtime in Node: the build that browsers run, with one thread. */

import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { loadOrt, type Ort } from '../../src/ort/runtime.ts'

const { resolve } = createRequire(import.meta.url)

export const ORT_FILES = {
  wasm: pathToFileURL(resolve('onnxruntime-web/ort-wasm-simd-threaded.wasm')),
  glue: pathToFileURL(resolve('onnxruntime-web/ort-wasm-simd-threaded.mjs')),
}

export function nodeOrt(): Promise<Ort> {
  return loadOrt({ ...ORT_FILES, numThreads: 4 })
}
