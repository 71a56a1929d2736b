/** The GPU as a backend: a device, and runners on it. */

import type { Backend, OpenBackend } from '../backend/backend.ts'
import { type GpuOwner, openDevice } from '../gpu/device.ts'
import { memoryPlan } from './bufferPlan.ts'
import { createGpuRunner } from './createGpuRunner.ts'

export function gpuBackend(owner: GpuOwner): Backend {
  return {
    name: 'webgpu',
    defaults: () => ({ maxNumBatchedTokens: 256, kvCacheDtype: 'f16' }),
    plan: memoryPlan,
    open: async (): Promise<OpenBackend> => {
      const gpu = await openDevice(owner)
      return {
        device: { backend: 'webgpu', adapter: gpu.adapter },
        lost: gpu.lost,
        createRunner: (from) => createGpuRunner({ ...from, gpu }),
        close: () => gpu.device.destroy(),
      }
    },
  }
}
