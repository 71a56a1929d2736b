/**
 * What a GGUF file says of itself, as plain data, and the checked reading of it: a key has the required type and range, or a
 * MODEL_FORMAT error names the key and the value. It must never know how the bytes of a file are laid out, nor which keys a model has.
 */

import { WeirError } from '../protocol/errors.ts'

/** An array of numbers, in the width that the file gives it; 64-bit integers as float64, booleans as 0 and 1. */
export type GgufNumbers =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array

export type GgufValue = string | number | boolean | readonly string[] | GgufNumbers

export type GgufMetadata = ReadonlyMap<string, GgufValue>

export interface GgufTensor {
  readonly name: string
  /** as in safetensors, the slowest first: [rows, columns] */
  readonly shape: readonly number[]
  /** ggml's name in lower case: 'f32', 'q4_k' */
  readonly type: string
  /** bytes from the start of the data */
  readonly offset: number
  /** size of the data */
  readonly bytes: number
}

const MAX_SHOWN = 80

/** The keys under a prefix. */
export class GgufFields {
  readonly #metadata: GgufMetadata
  readonly #prefix: string

  /** @param prefix of the keys asked for, as 'llama.' */
  constructor(metadata: GgufMetadata, prefix: string) {
    this.#metadata = metadata
    this.#prefix = prefix
  }

  raw(key: string): GgufValue | undefined {
    return this.#metadata.get(this.#prefix + key)
  }

  /** An integer of at least `least`. An array with one value for each layer counts as its value, if they are all the same. */
  integer(key: string, least = 1): number {
    const value = this.#single(key)
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < least) {
      this.refuse(key, `must be an integer of at least ${least}`)
    }
    return value
  }

  /** A finite number above 0; of an f32, the shortest decimal that rounds to it (1e-6, not 9.99999997e-7). */
  number(key: string): number {
    const value = this.#single(key)
    if (typeof value !== 'number' || !Number.isFinite(value) || value <= 0) this.refuse(key, 'must be a number above 0')
    return shortestDecimal(value)
  }

  string(key: string): string {
    const value = this.raw(key)
    if (typeof value !== 'string') this.refuse(key, 'must be a string')
    return value
  }

  optional<T>(key: string, read: (key: string) => T): T | undefined {
    return this.raw(key) === undefined ? undefined : read.call(this, key)
  }

  /** @throws MODEL_FORMAT naming the key and the value; `reason` completes the sentence. */
  refuse(key: string, reason: string): never {
    const [name, value] = [this.#prefix + key, shown(this.raw(key))]
    throw new WeirError('MODEL_FORMAT', `GGUF metadata: ${name} is ${value}; ${reason}`, { key: name, value })
  }

  #single(key: string): GgufValue | undefined {
    const value = this.raw(key)
    if (!isNumbers(value)) return value
    const [first] = value
    if (first === undefined || value.some((other) => other !== first)) {
      this.refuse(
        key,
        'layers that differ in it are not supported; use the safetensors files of a model whose layers agree',
      )
    }
    return first
  }
}

export function isNumbers(value: unknown): value is GgufNumbers {
  return ArrayBuffer.isView(value)
}

/** Whether the value is an array of strings. */
export function isStrings(value: unknown): value is readonly string[] {
  return Array.isArray(value)
}

/** The decimal of fewest digits that rounds to the same f32; `value` itself, if it is no f32. */
export function shortestDecimal(value: number): number {
  if (Math.fround(value) !== value) return value
  for (let digits = 1; digits < 9; digits++) {
    const decimal = Number(value.toPrecision(digits))
    if (Math.fround(decimal) === value) return decimal
  }
  return value
}

function shown(value: GgufValue | undefined): string {
  if (value === undefined) return 'missing'
  if (isNumbers(value)) return `[${value.subarray(0, 8).join(', ')}${value.length > 8 ? ', …' : ''}]`
  if (isStrings(value)) return `an array of ${value.length} strings`
  const text = JSON.stringify(value)
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text
}
