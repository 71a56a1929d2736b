/**
 * The memory of the attention module: one `WebAssembly.Memory` that is allocated once and never grows, divided into named
 * buffers. It must never know what a buffer holds.
 */

import { WeirError } from '../protocol/errors.ts'
import { alignTo, assert, cdiv } from '../util/math.ts'

export interface PlannedBuffer {
  readonly name: string
  readonly bytes: number
}

export interface PlacedBuffer extends PlannedBuffer {
  /** its first byte, a multiple of 16 */
  readonly address: number
}

const PAGE_BYTES = 65536
/** with addresses of 32 bits */
const MOST_PAGES = 65536
/** Unused bytes before, between and after buffers. No buffer is at address 0, and a test sees a write past the end of one. */
const GAP_BYTES = 16

export class AttentionMemory {
  readonly memory: WebAssembly.Memory
  readonly buffers: ReadonlyMap<string, PlacedBuffer>

  /** @throws LIMIT_EXCEEDED, OUT_OF_MEMORY naming kvCacheTokens */
  constructor(plan: readonly PlannedBuffer[]) {
    const { buffers, bytes } = placeBuffers(plan)
    this.buffers = buffers
    this.memory = allocate(bytes)
  }

  /** The address of the buffer planned under `name`. */
  address(name: string): number {
    return this.#buffer(name).address
  }

  /** The buffer as f32. */
  floats(name: string): Float32Array<ArrayBuffer> {
    const { address, bytes } = this.#buffer(name)
    return new Float32Array(this.memory.buffer, address, bytes / 4)
  }

  /** The buffer as i32. */
  integers(name: string): Int32Array<ArrayBuffer> {
    const { address, bytes } = this.#buffer(name)
    return new Int32Array(this.memory.buffer, address, bytes / 4)
  }

  #buffer(name: string): PlacedBuffer {
    const buffer = this.buffers.get(name)
    assert(buffer, `no buffer "${name}" in the plan`)
    return buffer
  }
}

/**
 * The address of each buffer, and the bytes of a memory that holds all.
 * @throws LIMIT_EXCEEDED naming kvCacheTokens
 */
export function placeBuffers(plan: readonly PlannedBuffer[]): {
  readonly buffers: ReadonlyMap<string, PlacedBuffer>
  readonly bytes: number
} {
  const buffers = new Map<string, PlacedBuffer>()
  let end = GAP_BYTES
  for (const { name, bytes } of plan) {
    assert(!buffers.has(name), `"${name}" is planned once`)
    buffers.set(name, { name, bytes, address: end })
    end = alignTo(end + bytes, 16) + GAP_BYTES
  }
  if (cdiv(end, PAGE_BYTES) > MOST_PAGES) {
    const message = `the KV cache and the buffers of attention need ${end} bytes, a WebAssembly memory holds 4 GiB: lower kvCacheTokens`
    throw new WeirError('LIMIT_EXCEEDED', message, { bytes: end, limit: MOST_PAGES * PAGE_BYTES })
  }
  return { buffers, bytes: end }
}

function allocate(bytes: number): WebAssembly.Memory {
  const pages = cdiv(bytes, PAGE_BYTES)
  try {
    return new WebAssembly.Memory({ initial: pages, maximum: pages })
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new WeirError(
      'OUT_OF_MEMORY',
      `the KV cache and the buffers of attention need ${bytes} bytes of WebAssembly memory (${reason}): lower kvCacheTokens`,
      { bytes },
      { cause },
    )
  }
}
