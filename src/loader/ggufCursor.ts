/**
 * Reads the primitive values of a GGUF header from the bytes that are there so far. A length that the file claims is compared with the
 * bytes that exist before anything is allocated for it. It must never know what the values mean.
 */

import { WeirError } from '../protocol/errors.ts'

/** Far above real headers (2 to 20 MB with a vocabulary of 262,144): the limit of safetensors headers. */
export const MAX_HEADER_BYTES = 100_000_000

/** Thrown where the header goes on past the bytes that are there; parseGguf turns it into a wish for more. */
export class HeaderEnds {
  /** the header has at least so many bytes */
  readonly bytes: number

  constructor(bytes: number) {
    this.bytes = bytes
  }
}

export class GgufCursor {
  readonly #url: string
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #fileBytes: number | undefined
  readonly #utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  #offset = 0

  /** @param fileBytes size of the file, if known */
  constructor(url: string, start: Uint8Array, fileBytes: number | undefined) {
    this.#url = url
    this.#bytes = start
    this.#view = new DataView(start.buffer, start.byteOffset, start.byteLength)
    this.#fileBytes = fileBytes
  }

  get offset(): number {
    return this.#offset
  }

  /**
   * Makes sure of the next `count` items of at least `itemBytes` each.
   * @throws HeaderEnds when the bytes are not there yet
   * @throws MODEL_FORMAT when they cannot be there
   */
  claim(count: number, itemBytes: number, what: string): void {
    const end = this.#offset + count * itemBytes
    if (end <= this.#bytes.length) return
    const limit = Math.min(MAX_HEADER_BYTES, this.#fileBytes ?? MAX_HEADER_BYTES)
    if (end > limit) {
      const reason =
        limit === this.#fileBytes
          ? `the file ends at ${limit}; download it again`
          : `the limit of a header is ${limit}; use a file that was made by a current llama.cpp`
      this.refuse(`is corrupted or cut off: ${what} would reach byte ${end}, ${reason}`)
    }
    throw new HeaderEnds(end)
  }

  u8(what: string): number {
    return this.#view.getUint8(this.#take(1, what))
  }

  i8(what: string): number {
    return this.#view.getInt8(this.#take(1, what))
  }

  u16(what: string): number {
    return this.#view.getUint16(this.#take(2, what), true)
  }

  i16(what: string): number {
    return this.#view.getInt16(this.#take(2, what), true)
  }

  u32(what: string): number {
    return this.#view.getUint32(this.#take(4, what), true)
  }

  i32(what: string): number {
    return this.#view.getInt32(this.#take(4, what), true)
  }

  f32(what: string): number {
    return this.#view.getFloat32(this.#take(4, what), true)
  }

  f64(what: string): number {
    return this.#view.getFloat64(this.#take(8, what), true)
  }

  /** @throws MODEL_FORMAT beyond 2^53 - 1, where a number is no longer exact */
  u64(what: string): number {
    const at = this.#take(8, what)
    return this.#exact(this.#view.getUint32(at + 4, true), this.#view.getUint32(at, true), what)
  }

  /** @throws MODEL_FORMAT beyond ±(2^53 - 1) */
  i64(what: string): number {
    const at = this.#take(8, what)
    return this.#exact(this.#view.getInt32(at + 4, true), this.#view.getUint32(at, true), what)
  }

  boolean(what: string): boolean {
    const value = this.u8(what)
    if (value > 1) this.refuse(`is corrupted: ${what} is a boolean of value ${value}`)
    return value === 1
  }

  string(what: string): string {
    const length = this.u64(what)
    const start = this.#take(length, what)
    try {
      return this.#utf8.decode(this.#bytes.subarray(start, start + length))
    } catch {
      this.refuse(`is corrupted: ${what} is not UTF-8`)
    }
  }

  /** A copy of the next `count` items, at the start of a buffer of their own. */
  copy(count: number, itemBytes: number, what: string): ArrayBuffer {
    const start = this.#take(count * itemBytes, what)
    return this.#bytes.slice(start, start + count * itemBytes).buffer as ArrayBuffer
  }

  /** @throws MODEL_FORMAT */
  refuse(fault: string): never {
    throw new WeirError('MODEL_FORMAT', `${this.#url} ${fault}`, { url: this.#url })
  }

  /** @returns the offset of the next bytes, which are there */
  #take(bytes: number, what: string): number {
    if (this.#offset + bytes > this.#bytes.length) this.claim(1, bytes, what)
    const at = this.#offset
    this.#offset += bytes
    return at
  }

  #exact(high: number, low: number, what: string): number {
    const value = high * 2 ** 32 + low
    if (!Number.isSafeInteger(value)) this.refuse(`is corrupted: ${what} reads ${value}, beyond 2^53`)
    return value
  }
}
