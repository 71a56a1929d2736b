/** The worker as a file: what is seldom needed lies beside it, in files that it loads when asked. */

import { listen } from './connect.ts'
import { loadOrt, loadReplay } from './lazyModules.ts'

listen((assets) => ({ replay: () => loadReplay(assets), wasm: () => loadOrt(assets) }))
