/** Runs the engine in this Node process, on Dawn, without a worker. */

import { LLM, type LoadOptions } from '../../src/index.ts'
import { createService } from '../../src/worker/service.ts'
import { folderFetch, MODELS } from '../helpers/folderFetch.ts'
import { nodeGpu } from '../helpers/gpuDevice.ts'
import { LAZY_MODULES } from '../helpers/lazyModules.ts'

export const FAIRY_TALES = MODELS['fairy-tales']

export function load(modelUrl: string, options: LoadOptions, gpu = nodeGpu()): Promise<LLM> {
  // The device of a benchmark is said, never found out.
  const backend = options.backend ?? 'webgpu'
  const service = createService({ gpu, now: () => performance.now(), fetch: folderFetch as typeof fetch }, LAZY_MODULES)
  return LLM.connect(service, modelUrl, { ...options, backend })
}

/**
 * One device shared by all engines of a comparison, so that each kernel is compiled once. A driver may compile a kernel differently
 * for each device: SwiftShader's code for the same attention kernel was 40 % slower on one device of six.
 */
export class OneDevice {
  /** passed to `load`; every `requestDevice` returns the same device */
  readonly gpu: GPU
  #device: GPUDevice | undefined
  #destroy = () => {}

  constructor() {
    const requestAdapter = async (options?: GPURequestAdapterOptions) => {
      const adapter = await nodeGpu().requestAdapter(options)
      if (!adapter) return null
      const { limits, features, info } = adapter
      return { limits, features, info, requestDevice: (wanted?: GPUDeviceDescriptor) => this.#open(adapter, wanted) }
    }
    this.gpu = { requestAdapter } as unknown as GPU
  }

  close(): void {
    this.#destroy()
  }

  /** The device's `destroy` does nothing until `close`, since a disposed engine destroys its device, which others still use. */
  async #open(adapter: GPUAdapter, wanted?: GPUDeviceDescriptor): Promise<GPUDevice> {
    if (this.#device) return this.#device
    const device = await adapter.requestDevice(wanted)
    this.#destroy = device.destroy.bind(device)
    device.destroy = () => undefined
    this.#device = device
    return device
  }
}
