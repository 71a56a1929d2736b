/** The processor as a backend, through ONNX Runtime's WebAssembly build. The module of its own that a worker loads when needed. */

import type { Backend, OpenBackend } from '../backend/backend.ts'
import { createOrtRunner } from './createOrtRunner.ts'
import { ortDefaults, ortPlan } from './ortPlan.ts'
import { loadOrt } from './runtime.ts'

/** Absolute URLs of ONNX Runtime's files. */
export interface OrtFiles {
  /** ort-wasm-simd-threaded.wasm */
  readonly wasm: string
  /** ort-wasm-simd-threaded.mjs, under whatever name */
  readonly glue: string
}

/** More threads than this spin more than they compute. */
const MOST_DEFAULT_THREADS = 4

export function ortBackend({ wasm, glue }: OrtFiles): Backend {
  return {
    name: 'wasm',
    defaults: ortDefaults,
    plan: ortPlan,
    open: async ({ numThreads = defaultThreads() }): Promise<OpenBackend> => {
      const ort = await loadOrt({ wasm: new URL(wasm), glue: new URL(glue), numThreads })
      return {
        device: { backend: 'wasm', threads: ort.threads },
        // The processor does not go away; the worker that it serves is watched by the page.
        lost: new Promise(() => {}),
        createRunner: (from) => createOrtRunner(ort, from),
        close: () => {},
      }
    },
  }
}

/** Half of the processor's threads: often two of them share a core. */
function defaultThreads(): number {
  const { hardwareConcurrency = 1 } = globalThis.navigator ?? {}
  return Math.min(Math.max(1, Math.floor(hardwareConcurrency / 2)), MOST_DEFAULT_THREADS)
}
