/** The modules that a worker loads when they are needed, from source. */

import type { LazyModules } from '../../src/worker/lazyModules.ts'

const ORT = new URL('../../node_modules/onnxruntime-web/dist/', import.meta.url)

export const LAZY_MODULES: LazyModules = {
  replay: () => import('../../src/worker/replay.ts'),
  wasm: async () => {
    const { ortBackend } = await import('../../src/ort/ortBackend.ts')
    const file = (name: string) => new URL(`ort-wasm-simd-threaded.${name}`, ORT).href
    return ortBackend({ wasm: file('wasm'), glue: file('mjs') })
  },
}
