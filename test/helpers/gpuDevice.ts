/** The one GPU device of a test process: Dawn in Node. A test never passes by being skipped, so without an adapter this throws. */

import { writeSync } from 'node:fs'
import { create, globals } from 'webgpu'
import { type Gpu, openDevice } from '../../src/gpu/device.ts'
import { restBeforeImmediates } from './restfulPolling.ts'

restBeforeImmediates()
Object.assign(globalThis, globals)

// Dawn aborts the process if this object is collected, so it lives as long as the module.
const navigatorGpu = create([])

let shared: Promise<Gpu> | undefined

/** `navigator.gpu` of this process. */
export function nodeGpu(): GPU {
  return navigatorGpu
}

/** The shared device; an uncaptured error ends the process, because a test that goes on after one proves nothing. */
export function sharedGpu(): Promise<Gpu> {
  shared ??= openDevice({ gpu: navigatorGpu }).then((gpu) => {
    gpu.device.addEventListener('uncapturederror', (event) => {
      // Not console: what it prints is lost when the process ends at once.
      writeSync(2, `uncaptured WebGPU error: ${(event as GPUUncapturedErrorEvent).error.message}\n`)
      process.exit(1)
    })
    return gpu
  })
  return shared
}
