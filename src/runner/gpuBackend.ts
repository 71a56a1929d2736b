/** The GPU as a backend: a device, and runners on it. */

import type { Backend, OpenBackend } from '../backend/backend.ts'
import { type GpuOwner, openDevice } from '../gpu/device.ts'
import { WeirError } from '../protocol/errors.ts'
import { memoryPlan } from './bufferPlan.ts'
import { createGpuRunner } from './createGpuRunner.ts'

export function gpuBackend(owner: GpuOwner): Backend {
  return {
    name: 'webgpu',
    defaults: () => ({ maxNumBatchedTokens: 256, kvCacheDtype: 'f16' }),
    plan: (spec, options, tensors, quantization) => {
      if (quantization === 'w8a8') {
        const message = `quantization '${quantization}' needs backend 'wasm': set backend to 'wasm', or leave quantization out`
        throw new WeirError('INVALID_OPTION', message, { option: 'quantization', value: quantization })
      }
      return memoryPlan(spec, options, tensors)
    },
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
