/**
 * Collects device errors that no call throws: uncaptured validation, internal and out-of-memory errors, and device loss.
 * The first one is final. It must never know what the device was asked to do.
 */

import { WeirError } from '../protocol/errors.ts'
import type { Gpu } from './device.ts'

export class DeviceFaults {
  readonly #device: GPUDevice
  #first: WeirError | undefined
  /** reject functions of pending waits; a Set, because a promise that outlives all waits would keep each of them alive */
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

  /** Rejects all pending waits with this error, unless an earlier one was raised. */
  raise(error: WeirError): void {
    this.#first ??= error
    for (const reject of this.#waiting) reject(this.#first)
  }

  /**
   * Settles with `work`, or rejects at the first fault: a lost device may never settle its work, or fail it with a vaguer
   * error.
   */
  async orFault<T>(work: Promise<T>): Promise<T> {
    let giveUp: (error: WeirError) => void = () => {}
    const fault = new Promise<never>((_, reject) => {
      giveUp = reject
    })
    this.#waiting.add(giveUp)
    try {
      return await Promise.race([work, fault])
    } catch (cause) {
      // A lost device may reject its work before it reports the loss.
      if (!this.#first) await nextTask()
      throw this.#first ?? cause
    } finally {
      this.#waiting.delete(giveUp)
    }
  }

  /** Stops watching; an error already raised is kept. */
  stop(): void {
    this.#device.removeEventListener('uncapturederror', this.#onUncaptured)
  }
}

/** By name, not by instanceof: not every environment has the GPUError classes as globals. */
function faultOf(error: GPUError): WeirError {
  const { name } = error.constructor
  if (name === 'GPUOutOfMemoryError') {
    return new WeirError('OUT_OF_MEMORY', `the device ran out of memory: ${error.message}`)
  }
  // GPUInternalError: a valid command failed in the driver.
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
