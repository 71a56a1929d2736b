/**
 * The worker as text (`api/worker/workerText.ts`), for pages that cannot load its file. ONNX Runtime alone stays outside: it needs
 * its WebAssembly file anyway.
 */

import { listen } from './connect.ts'
import { loadOrt } from './lazyModules.ts'
import * as replay from './replay.ts'

listen((assets) => ({ replay: async () => replay, wasm: () => loadOrt(assets) }))
