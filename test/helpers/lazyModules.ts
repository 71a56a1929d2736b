/** The modules that a worker loads when they are needed, from source. */

import type { LazyModules } from '../../src/worker/lazyModules.ts'

export const LAZY_MODULES: LazyModules = {
  replay: () => import('../../src/worker/replay.ts'),
  wasm: () => {
    throw new Error('not yet')
  },
}
