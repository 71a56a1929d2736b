/** Which backend a model is loaded onto, and what is said of the choice. */

import { describe, expect, it } from 'vitest'
import type { Backend } from '../../src/backend/backend.ts'
import { type Backends, chooseBackend, chooseToPlan } from '../../src/backend/chooseBackend.ts'
import { WeirError } from '../../src/protocol/errors.ts'
import type { BackendDevice } from '../../src/protocol/service.ts'
import { GPU_DEFAULTS } from '../helpers/backendDefaults.ts'

const adapter = { vendor: 'v', architecture: 'a', description: 'SwiftShader', software: true }
const SOFTWARE: BackendDevice = { backend: 'webgpu', adapter }
const HARDWARE: BackendDevice = { backend: 'webgpu', adapter: { ...adapter, software: false } }
const PROCESSOR: BackendDevice = { backend: 'wasm', threads: 1 }
const NO_GPU = new WeirError('BACKEND_UNAVAILABLE', 'WebGPU found no adapter')
const NO_WASM = new WeirError('BACKEND_UNAVAILABLE', 'ort.mjs could not be loaded')

/** Backends with these devices, or the errors that opening them ends with; what was opened and closed is written down. */
function backendsOf(webgpu: BackendDevice | WeirError, wasm: BackendDevice | WeirError) {
  const calls: string[] = []
  const backend = (name: 'webgpu' | 'wasm', device: BackendDevice | WeirError) => async (): Promise<Backend> => {
    calls.push(`load ${name}`)
    return {
      name,
      defaults: () => GPU_DEFAULTS,
      plan: () => ({ totalBytes: 0, weightBytes: 0, kvCacheBytes: 0, workspaceBytes: 0, buffers: [] }),
      open: async ({ numThreads }) => {
        if (device instanceof WeirError) throw device
        calls.push(`open ${name} ${numThreads}`)
        return {
          device,
          lost: new Promise(() => {}),
          createRunner: () => Promise.reject(new Error('not asked for')),
          close: () => calls.push(`close ${name}`),
        }
      },
    }
  }
  const backends: Backends = { webgpu: backend('webgpu', webgpu), wasm: backend('wasm', wasm) }
  return { backends, calls }
}

describe('auto', () => {
  it('takes a hardware GPU, and loads nothing of the other backend', async () => {
    const { backends, calls } = backendsOf(HARDWARE, PROCESSOR)
    const { info, backend } = await chooseBackend(backends, { numThreads: 3 })
    expect(info).toEqual({ ...HARDWARE, reason: 'a hardware GPU' })
    expect(backend.name).toBe('webgpu')
    expect(calls).toEqual(['load webgpu', 'open webgpu 3'])
  })

  it('gives a software adapter back and takes the processor, with the reason', async () => {
    const { backends, calls } = backendsOf(SOFTWARE, PROCESSOR)
    const { info } = await chooseBackend(backends, { backend: 'auto' })
    expect(info).toEqual({ ...PROCESSOR, reason: 'WebGPU has only a software adapter (SwiftShader)' })
    expect(calls).toEqual(['load webgpu', 'open webgpu undefined', 'close webgpu', 'load wasm', 'open wasm undefined'])
  })

  it('takes the processor where there is no GPU, with the reason', async () => {
    const { info } = await chooseBackend(backendsOf(NO_GPU, PROCESSOR).backends, {})
    expect(info).toEqual({ ...PROCESSOR, reason: 'WebGPU found no adapter' })
  })

  it('says why neither can be used', async () => {
    await expect(chooseBackend(backendsOf(NO_GPU, NO_WASM).backends, {})).rejects.toMatchObject({
      code: 'BACKEND_UNAVAILABLE',
      message: 'WebGPU found no adapter; and the processor cannot be used: ort.mjs could not be loaded',
    })
  })
})

describe('a backend asked for by name', () => {
  it('is taken, a software adapter too, and the other one is not loaded', async () => {
    const onGpu = backendsOf(SOFTWARE, PROCESSOR)
    expect((await chooseBackend(onGpu.backends, { backend: 'webgpu' })).info.reason).toBe("backend is 'webgpu'")
    expect(onGpu.calls).toEqual(['load webgpu', 'open webgpu undefined'])
    const onProcessor = backendsOf(HARDWARE, PROCESSOR)
    expect((await chooseBackend(onProcessor.backends, { backend: 'wasm' })).info.backend).toBe('wasm')
    expect(onProcessor.calls).toEqual(['load wasm', 'open wasm undefined'])
  })

  it('is never replaced by the other one', async () => {
    await expect(chooseBackend(backendsOf(NO_GPU, PROCESSOR).backends, { backend: 'webgpu' })).rejects.toBe(NO_GPU)
    await expect(chooseBackend(backendsOf(HARDWARE, NO_WASM).backends, { backend: 'wasm' })).rejects.toBe(NO_WASM)
  })
})

describe('a plan', () => {
  it('is made by the backend that would be chosen, without opening the processor', async () => {
    for (const [webgpu, options, name, expected] of [
      [HARDWARE, {}, 'webgpu', ['load webgpu', 'open webgpu undefined', 'close webgpu']],
      [SOFTWARE, {}, 'wasm', ['load webgpu', 'open webgpu undefined', 'close webgpu', 'load wasm']],
      [NO_GPU, {}, 'wasm', ['load webgpu', 'load wasm']],
      [NO_GPU, { backend: 'webgpu' }, 'webgpu', ['load webgpu']],
      [HARDWARE, { backend: 'wasm' }, 'wasm', ['load wasm']],
    ] as const) {
      const { backends, calls } = backendsOf(webgpu, NO_WASM)
      expect((await chooseToPlan(backends, options)).name).toBe(name)
      expect(calls).toEqual(expected)
    }
  })
})
