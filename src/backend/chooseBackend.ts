/**
 * Chooses what a model runs on. `auto` takes a hardware GPU, else the processor: on a software adapter, which emulates a GPU on
 * the processor, the same step takes ten times as long. It must never know the model.
 */

import type { BackendName } from '../protocol/engineOptions.ts'
import { WeirError } from '../protocol/errors.ts'
import type { BackendOptions } from '../protocol/options.ts'
import type { DeviceInfo } from '../protocol/service.ts'
import type { Backend, OpenBackend } from './backend.ts'

/** Each backend, loaded when it is asked for. */
export type Backends = { readonly [name in BackendName]: () => Promise<Backend> }

/** A chosen backend; whoever chose it closes it. */
export interface ChosenBackend extends OpenBackend {
  readonly backend: Backend
  readonly info: DeviceInfo
}

/** @throws BACKEND_UNAVAILABLE saying why each of the possible backends cannot be used */
export async function chooseBackend(backends: Backends, options: BackendOptions): Promise<ChosenBackend> {
  const { backend: wanted = 'auto' } = options
  if (wanted !== 'auto') return open(backends[wanted], options, `backend is '${wanted}'`)
  const refused = await openHardware(backends.webgpu, options)
  if (typeof refused !== 'string') return refused
  try {
    return await open(backends.wasm, options, refused)
  } catch (thrown) {
    const { message } = WeirError.from(thrown)
    throw new WeirError(
      'BACKEND_UNAVAILABLE',
      `${refused}; and the processor cannot be used: ${message}`,
      {},
      { cause: thrown },
    )
  }
}

/**
 * The backend that `chooseBackend` would choose, to plan with: it is not opened, so that nothing large is fetched or started.
 * @throws BACKEND_UNAVAILABLE if its module cannot be loaded
 */
export async function chooseToPlan(backends: Backends, options: BackendOptions): Promise<Backend> {
  const { backend: wanted = 'auto' } = options
  if (wanted !== 'auto') return backends[wanted]()
  const hardware = await openHardware(backends.webgpu, options)
  if (typeof hardware === 'string') return backends.wasm()
  hardware.close()
  return hardware.backend
}

/** A GPU backend on a hardware adapter, or why there is none. */
async function openHardware(load: () => Promise<Backend>, options: BackendOptions): Promise<ChosenBackend | string> {
  try {
    const chosen = await open(load, options, 'a hardware GPU')
    const { info } = chosen
    if (info.backend !== 'webgpu' || !info.adapter.software) return chosen
    chosen.close()
    return `WebGPU has only a software adapter (${info.adapter.description || info.adapter.architecture})`
  } catch (thrown) {
    return WeirError.from(thrown).message
  }
}

async function open(load: () => Promise<Backend>, options: BackendOptions, reason: string): Promise<ChosenBackend> {
  const backend = await load()
  const { device, lost, createRunner, close } = await backend.open(options)
  return { backend, device, lost, createRunner, close, info: { ...device, reason } }
}
