/**
 * Reads step results back through a fixed ring of mappable buffers, so that steps in flight do not wait for each other
 * and nothing is allocated. It must never know what the bytes mean.
 */

import { at } from '../util/math.ts'
import type { Arena, BufferPlan } from './arena.ts'

/** GPUMapMode.READ, which not every environment has as a global. */
export const MAP_READ = 0x01

const DEPTH = 2

/** The buffers of a ring for results of at most `bytes`. */
export function readbackPlans(bytes: number): BufferPlan[] {
  return Array.from({ length: DEPTH }, (_, index) => ({ name: `readback.${index}`, bytes, use: 'readback' }))
}

export interface ReadbackSource {
  readonly buffer: GPUBuffer
  readonly bytes: number
}

export class ReadbackRing {
  readonly #slots: { readonly buffer: GPUBuffer; free: Promise<void> }[]
  #next = 0
  /** settles when the latest caller of `acquire` has a slot */
  #granted: Promise<unknown> = Promise.resolve()

  constructor(arena: Arena) {
    this.#slots = Array.from({ length: DEPTH }, (_, index) => ({
      buffer: arena.buffer(`readback.${index}`),
      free: Promise.resolve(),
    }))
  }

  /** Waits for a slot that no step in flight uses. Slots are granted in the order of the calls. */
  acquire(): Promise<ReadbackSlot> {
    const slot = at(this.#slots, this.#next++ % DEPTH)
    const before = slot.free
    let release = () => {}
    // Replaced before the slot is free, so that the next caller waits for this use and not for the previous one.
    slot.free = new Promise<void>((resolve) => {
      release = resolve
    })
    const granted = Promise.all([before, this.#granted]).then(() => new ReadbackSlot(slot.buffer, release))
    this.#granted = granted
    return granted
  }
}

/** One use of a ring buffer: `copy` while encoding, then `read` once after submitting, or `release`. */
export class ReadbackSlot {
  readonly #buffer: GPUBuffer
  readonly #release: () => void
  #bytes = 0

  constructor(buffer: GPUBuffer, release: () => void) {
    this.#buffer = buffer
    this.#release = release
  }

  /** Copies the sources one after another. */
  copy(encoder: GPUCommandEncoder, sources: readonly ReadbackSource[]): void {
    for (const { buffer, bytes } of sources) {
      if (bytes > 0) encoder.copyBufferToBuffer(buffer, 0, this.#buffer, this.#bytes, bytes)
      this.#bytes += bytes
    }
  }

  /** Maps the copied bytes once the GPU has written them; `use` must copy what it keeps. */
  async read<T>(use: (bytes: ArrayBuffer) => T): Promise<T> {
    try {
      await this.#buffer.mapAsync(MAP_READ, 0, this.#bytes)
      const value = use(this.#buffer.getMappedRange(0, this.#bytes))
      this.#buffer.unmap()
      return value
    } finally {
      this.release()
    }
  }

  release(): void {
    this.#release()
  }
}
