/**
 * Owns every GPU buffer of the engine. All are created while loading, none afterwards.
 *
 * Limits are checked before a buffer is created, because WebGPU reports an over-limit buffer as a validation error, not
 * as out of memory. Creation runs inside both error scopes, and each buffer is cleared once, so that drivers which back
 * memory lazily fail at load. After `seal()` an allocation throws. The arena must never know what its buffers hold.
 */

import { WeirError } from '../protocol/errors.ts'
import { alignTo } from '../util/math.ts'

export type BufferUse = 'storage' | 'uniform' | 'readback' | 'timestamps'

export interface BufferPlan {
  readonly name: string
  /** rounded up to a multiple of 4 when allocated */
  readonly bytes: number
  readonly use: BufferUse
  /** the option that reduces the size, for error messages */
  readonly knob?: string
}

const USAGE: Readonly<Record<BufferUse, number>> = {
  storage: 0x80 | 0x04 | 0x08, // STORAGE | COPY_SRC | COPY_DST
  uniform: 0x40 | 0x08, // UNIFORM | COPY_DST
  readback: 0x01 | 0x08, // MAP_READ | COPY_DST
  timestamps: 0x200 | 0x04 | 0x08, // QUERY_RESOLVE | COPY_SRC | COPY_DST
}

/** The total size of `plans` once allocated. */
export function plannedBytes(plans: readonly BufferPlan[]): number {
  return plans.reduce((sum, plan) => sum + allocatedSize(plan), 0)
}

export class Arena {
  readonly #device: GPUDevice
  readonly #buffers = new Map<string, GPUBuffer>()
  #sealed = false

  constructor(device: GPUDevice) {
    this.#device = device
  }

  /** Bytes of all buffers created so far. */
  get allocatedBytes(): number {
    let bytes = 0
    for (const buffer of this.#buffers.values()) bytes += buffer.size
    return bytes
  }

  get sealed(): boolean {
    return this.#sealed
  }

  /**
   * Creates and clears the planned buffers.
   * @throws LIMIT_EXCEEDED before anything is created, OUT_OF_MEMORY when the device refuses.
   */
  async allocate(plans: readonly BufferPlan[]): Promise<void> {
    if (this.#sealed) {
      throw new WeirError(
        'INTERNAL',
        `the arena is sealed: ${plans.map((p) => p.name).join(', ')} were requested after load`,
      )
    }
    for (const plan of plans) checkLimits(plan, this.#device.limits)
    this.#device.pushErrorScope('out-of-memory')
    this.#device.pushErrorScope('validation')
    const popScopes = () => Promise.all([this.#device.popErrorScope(), this.#device.popErrorScope()])
    try {
      this.#createAndClear(plans)
    } catch (thrown) {
      await popScopes()
      throw thrown
    }
    const [[validation, memory]] = await Promise.all([popScopes(), this.#device.queue.onSubmittedWorkDone()])
    if (memory || validation) throw outOfMemory(plans, (memory ?? validation)?.message ?? '')
  }

  /** The buffer planned under `name`. */
  buffer(name: string): GPUBuffer {
    const buffer = this.#buffers.get(name)
    if (!buffer) throw new WeirError('INTERNAL', `no buffer "${name}" in the plan`)
    return buffer
  }

  /** After this call an allocation throws. */
  seal(): void {
    this.#sealed = true
  }

  dispose(): void {
    this.#sealed = true
    for (const buffer of this.#buffers.values()) buffer.destroy()
    this.#buffers.clear()
  }

  #createAndClear(plans: readonly BufferPlan[]): void {
    const encoder = this.#device.createCommandEncoder({ label: 'arena' })
    for (const plan of plans) {
      const buffer = this.#create(plan)
      if (plan.use !== 'readback') encoder.clearBuffer(buffer)
    }
    this.#device.queue.submit([encoder.finish()])
  }

  #create(plan: BufferPlan): GPUBuffer {
    if (this.#buffers.has(plan.name)) throw new WeirError('INTERNAL', `buffer "${plan.name}" is planned twice`)
    const size = allocatedSize(plan)
    try {
      const buffer = this.#device.createBuffer({ label: plan.name, size, usage: USAGE[plan.use] })
      this.#buffers.set(plan.name, buffer)
      return buffer
    } catch (cause) {
      throw outOfMemory([plan], cause instanceof Error ? cause.message : String(cause))
    }
  }
}

function allocatedSize(plan: BufferPlan): number {
  return alignTo(Math.max(plan.bytes, 4), plan.use === 'uniform' ? 16 : 4)
}

function checkLimits(plan: BufferPlan, limits: GPUSupportedLimits): void {
  const bytes = allocatedSize(plan)
  const bindable: Readonly<Record<BufferUse, number>> = {
    storage: limits.maxStorageBufferBindingSize,
    uniform: limits.maxUniformBufferBindingSize,
    readback: limits.maxBufferSize, // never bound
    timestamps: limits.maxBufferSize, // never bound
  }
  const limit = Math.min(limits.maxBufferSize, bindable[plan.use])
  if (bytes <= limit) return
  const advice = plan.knob ? `; lower ${plan.knob}` : ''
  throw new WeirError(
    'LIMIT_EXCEEDED',
    `buffer "${plan.name}" needs ${bytes} bytes, this adapter allows ${limit}${advice}`,
    { buffer: plan.name, bytes, limit },
  )
}

function outOfMemory(plans: readonly BufferPlan[], reason: string): WeirError {
  const bytes = plannedBytes(plans)
  const largest = plans.reduce((a, b) => (b.bytes > a.bytes ? b : a))
  const advice = largest.knob ? `; the largest is "${largest.name}", lower ${largest.knob}` : ''
  // Drivers put a summary in the first line and source locations in the others.
  const [what] = reason.split('\n')
  return new WeirError('OUT_OF_MEMORY', `the device refused ${bytes} bytes (${what})${advice}`, { bytes })
}
