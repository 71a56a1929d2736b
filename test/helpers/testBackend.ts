/** The backend that a conformance test runs on, as its Vitest project says. */

import { expect, inject } from 'vitest'
import type { BackendRunner, OpenBackend, RunnerSource } from '../../src/backend/backend.ts'
import { type EngineStats, LLM, type LoadOptions } from '../../src/index.ts'
import type { BackendName, KvCacheDtype } from '../../src/protocol/engineOptions.ts'
import { createService } from '../../src/worker/service.ts'
import { folderFetch } from './folderFetch.ts'
import { FULL } from './full.ts'
import { LAZY_MODULES } from './lazyModules.ts'

declare module 'vitest' {
  interface ProvidedContext {
    readonly backend: BackendName
  }
}

export const BACKEND: BackendName = inject('backend')

/** Number formats of the KV cache that the backend has, its default first. */
export const KV_DTYPES: readonly KvCacheDtype[] = BACKEND === 'webgpu' ? ['f16', 'f32'] : ['f32']
export const KV_DTYPE: KvCacheDtype = KV_DTYPES[0] ?? 'f32'

/** Whether the whole matrix runs: on the software GPU of a test machine it takes minutes, so there it is for `npm run test:full`. */
export const WHOLE_MATRIX = FULL || BACKEND === 'wasm'
/** The most drafts of a request in a step. */
export const DRAFT_COUNTS = WHOLE_MATRIX ? [0, 1, 2, 3, 4] : [0, 3]

/** The case with a number format that the backend has. */
export function onBackend<Case extends { readonly kvCacheDtype: string }>(
  each: Case,
): Case & { readonly kvCacheDtype: KvCacheDtype } {
  const kvCacheDtype = KV_DTYPES.find((dtype) => dtype === each.kvCacheDtype) ?? KV_DTYPE
  return { ...each, kvCacheDtype }
}

let processor: Promise<OpenBackend> | undefined

/** A runner on the one device of this process. */
export async function createRunner(from: RunnerSource): Promise<BackendRunner> {
  if (BACKEND === 'webgpu') {
    const [{ sharedGpu }, { createGpuRunner }] = await Promise.all([
      import('./gpuDevice.ts'),
      import('../../src/runner/createGpuRunner.ts'),
    ])
    return createGpuRunner({ ...from, gpu: await sharedGpu() })
  }
  processor ??= LAZY_MODULES.wasm().then((backend) => backend.open({}))
  return (await processor).createRunner(from)
}

/** The public class over the backend, in this process. */
export async function connect(
  modelUrl: string,
  options: LoadOptions,
  fetch: (input: string | URL | Request, init?: RequestInit) => Promise<Response> = folderFetch,
): Promise<LLM> {
  const gpu = BACKEND === 'webgpu' ? (await import('./gpuDevice.ts')).nodeGpu() : undefined
  const environment = { gpu, now: () => performance.now(), fetch: fetch as typeof globalThis.fetch }
  return LLM.connect(createService(environment, LAZY_MODULES), modelUrl, { backend: BACKEND, ...options })
}

/** The plan is exact on the GPU; on the processor what ONNX Runtime takes is estimated. */
export function expectPlanned({ allocatedBytes, plannedBytes }: EngineStats): void {
  const [least, most] = BACKEND === 'webgpu' ? [1, 1] : [0.6, 1.3]
  expect(allocatedBytes / plannedBytes).toBeGreaterThanOrEqual(least)
  expect(allocatedBytes / plannedBytes).toBeLessThanOrEqual(most)
}
