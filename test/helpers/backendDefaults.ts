/** Defaults of options that depend on the backend: those of the GPU. */

import type { BackendDefaults } from '../../src/backend/backend.ts'

export const GPU_DEFAULTS: BackendDefaults = { maxNumBatchedTokens: 256, kvCacheDtype: 'f16' }
