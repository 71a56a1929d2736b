/** The modules that a worker loads when they are needed, from source. */

import { pathToFileURL } from 'node:url'
import type { LazyModules } from '../../src/worker/lazyModules.ts'

/** Scripts start in the repository; benchmarks run this from a bundle that is elsewhere. */
const ORT = new URL('node_modules/onnxruntime-web/dist/', pathToFileURL(`${process.cwd()}/`))

export const LAZY_MODULES: LazyModules = {
  replay: () => import('../../src/worker/replay.ts'),
  wasm: async () => {
    const { ortBackend } = await import('../../src/ort/ortBackend.ts')
    const file = (name: string) => new URL(`ort-wasm-simd-threaded.${name}`, ORT).href
    return ortBackend({ wasm: file('wasm'), glue: file('mjs') })
  },
}
