/** The processor as a backend, through ONNX Runtime's WebAssembly build. The module of its own that a worker loads when needed. */

import type { Backend } from '../backend/backend.ts'
import { WeirError } from '../protocol/errors.ts'

/** URLs of ONNX Runtime's files. */
export interface OrtFiles {
  readonly wasm: string
  readonly glue: string
}

export function ortBackend(_files: OrtFiles): Backend {
  throw new WeirError('BACKEND_UNAVAILABLE', 'not yet')
}
