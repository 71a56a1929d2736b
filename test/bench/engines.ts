/** The engine in this process, on Dawn. */

import { LLM, type LoadOptions } from '../../src/index.ts'
import { createService } from '../../src/worker/service.ts'
import { folderFetch, MODELS } from '../helpers/folderFetch.ts'
import { nodeGpu } from '../helpers/gpuDevice.ts'
import { replayModule } from '../helpers/replayModule.ts'

export const FAIRY_TALES = MODELS['fairy-tales']

/** Loads a model into an engine of this process, on Dawn. */
export function load(modelUrl: string, options: LoadOptions, gpu = nodeGpu()): Promise<LLM> {
  const service = createService({ gpu, now: () => performance.now(), fetch: folderFetch as typeof fetch }, replayModule)
  return LLM.connect(service, modelUrl, options)
}

/**
 * One device for all engines that are held against each other, so that each kernel is compiled once for all of them. What a driver
 * makes of a kernel may differ from device to device: SwiftShader's code for the same attention was found 40 % slower in one of six.
 */
export class OneDevice {
  /** for `load`: whoever opens a device here gets the same */
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

  /** Engines destroy their device when they are disposed of; the others live on. */
  async #open(adapter: GPUAdapter, wanted?: GPUDeviceDescriptor): Promise<GPUDevice> {
    if (this.#device) return this.#device
    const device = await adapter.requestDevice(wanted)
    this.#destroy = device.destroy.bind(device)
    device.destroy = () => undefined
    this.#device = device
    return device
  }
}
