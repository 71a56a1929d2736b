/**
 * What goes wrong on a device without any call that throws: a command it refused, memory it ran out of, its loss. The first
 * fault counts and is final. It must never know what the device was asked to do.
 */

import { WeirError } from '../protocol/errors.ts'
import type { Gpu } from './device.ts'

export class DeviceFaults {
  readonly #device: GPUDevice
  #first: WeirError | undefined
  /** rejects what is waited for; a set, because a promise that outlives every wait would keep each of them alive */
  readonly #waiting = new Set<(error: WeirError) => void>()
  readonly #onUncaptured = (event: Event): void => {
    this.raise(faultOf((event as GPUUncapturedErrorEvent).error))
  }

  constructor({ device, lost }: Gpu) {
    this.#device = device
    device.addEventListener('uncapturederror', this.#onUncaptured)
    void lost.then((error) => this.raise(error))
  }

  get first(): WeirError | undefined {
    return this.#first
  }

  /** @throws the first fault, if there is one */
  check(): void {
    if (this.#first) throw this.#first
  }

  /** Ends everything waited for with this fault, unless another was first. */
  raise(error: WeirError): void {
    this.#first ??= error
    for (const reject of this.#waiting) reject(this.#first)
  }

  /** What `work` brings, or the fault: a lost device may never settle it, or fail it with a less telling error. */
  async orFault<T>(work: Promise<T>): Promise<T> {
    let giveUp: (error: WeirError) => void = () => {}
    const fault = new Promise<never>((_, reject) => {
      giveUp = reject
    })
    this.#waiting.add(giveUp)
    try {
      return await Promise.race([work, fault])
    } catch (cause) {
      // A device that is lost may fail its work before it says so.
      if (!this.#first) await nextTask()
      throw this.#first ?? cause
    } finally {
      this.#waiting.delete(giveUp)
    }
  }

  /** Stops watching; what was raised stays. */
  stop(): void {
    this.#device.removeEventListener('uncapturederror', this.#onUncaptured)
  }
}

/** Not by instanceof: the classes are not global everywhere. */
function faultOf(error: GPUError): WeirError {
  const { name } = error.constructor
  if (name === 'GPUOutOfMemoryError') {
    return new WeirError('OUT_OF_MEMORY', `the device ran out of memory: ${error.message}`)
  }
  // A valid command that the driver could not carry out.
  if (name === 'GPUInternalError') {
    return new WeirError('DEVICE_LOST', `the GPU failed (${error.message}): load the model again, or update its driver`)
  }
  return new WeirError('INTERNAL', `WebGPU refused a command: ${error.message}`)
}

function nextTask(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve)
  })
}
