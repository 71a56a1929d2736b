/** GGUF files built from scratch, true or not; and the oracle of what they hold is what they were built from. */

import { readFileSync } from 'node:fs'
import { type GgufHeader, parseGguf } from '../../src/loader/gguf.ts'

export const TYPE = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  bool: 7,
  string: 8,
  array: 9,
  u64: 10,
  i64: 11,
  f64: 12,
} as const

export type ScalarType = Exclude<keyof typeof TYPE, 'array'>

/** A value with the type that the file gives it; an array where `value` is one. */
export type Typed = readonly [
  type: ScalarType,
  value: string | number | boolean | readonly (string | number | boolean)[],
]

export interface WrittenTensor {
  readonly name: string
  /** [rows, columns] */
  readonly shape: readonly number[]
  /** ggml's number of the type */
  readonly type: number
  readonly offset: number
}

export interface WrittenGguf {
  readonly version?: number
  readonly metadata?: Readonly<Record<string, Typed>>
  readonly tensors?: readonly WrittenTensor[]
  /** the counts that the file claims, if they are not the true ones */
  readonly numTensors?: bigint
  readonly numKeys?: bigint
  readonly data?: Uint8Array
  readonly alignment?: number
}

/** Appends little-endian values to bytes that grow. */
export class GgufWriter {
  #bytes = new Uint8Array(1024)
  length = 0

  get bytes(): Uint8Array {
    return this.#bytes.slice(0, this.length)
  }

  raw(bytes: Uint8Array): this {
    const needed = this.length + bytes.length
    if (needed > this.#bytes.length) {
      const grown = new Uint8Array(2 * needed)
      grown.set(this.#bytes)
      this.#bytes = grown
    }
    this.#bytes.set(bytes, this.length)
    this.length = needed
    return this
  }

  u32(value: number): this {
    return this.scalar('u32', value)
  }

  u64(value: number | bigint): this {
    const bytes = new Uint8Array(8)
    new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true)
    return this.raw(bytes)
  }

  string(text: string): this {
    const bytes = new TextEncoder().encode(text)
    return this.u64(bytes.length).raw(bytes)
  }

  scalar(type: ScalarType, value: string | number | boolean): this {
    if (type === 'string') return this.string(String(value))
    const bytes = new Uint8Array(
      { u8: 1, i8: 1, bool: 1, u16: 2, i16: 2, u32: 4, i32: 4, f32: 4, u64: 8, i64: 8, f64: 8 }[type],
    )
    const view = new DataView(bytes.buffer)
    const number = Number(value)
    if (type === 'u8' || type === 'bool') view.setUint8(0, number)
    else if (type === 'i8') view.setInt8(0, number)
    else if (type === 'u16') view.setUint16(0, number, true)
    else if (type === 'i16') view.setInt16(0, number, true)
    else if (type === 'u32') view.setUint32(0, number, true)
    else if (type === 'i32') view.setInt32(0, number, true)
    else if (type === 'f32') view.setFloat32(0, number, true)
    else if (type === 'f64') view.setFloat64(0, number, true)
    else view.setBigInt64(0, BigInt(number), true)
    return this.raw(bytes)
  }

  value([type, value]: Typed): this {
    if (!Array.isArray(value)) return this.u32(TYPE[type]).scalar(type, value as string | number | boolean)
    this.u32(TYPE.array).u32(TYPE[type]).u64(value.length)
    for (const item of value) this.scalar(type, item)
    return this
  }

  tensor({ name, shape, type, offset }: WrittenTensor): this {
    this.string(name).u32(shape.length)
    for (const size of [...shape].reverse()) this.u64(size)
    return this.u32(type).u64(offset)
  }

  pad(alignment: number): this {
    return this.raw(new Uint8Array(Math.ceil(this.length / alignment) * alignment - this.length))
  }
}

/** Magic, version and the two counts. */
export function ggufPrefix(numTensors: number | bigint, numKeys: number | bigint, version = 3): GgufWriter {
  return new GgufWriter().raw(new TextEncoder().encode('GGUF')).u32(version).u64(numTensors).u64(numKeys)
}

/** A whole file. */
export function writeGguf({ metadata = {}, tensors = [], data, alignment = 32, ...claimed }: WrittenGguf): Uint8Array {
  const entries = Object.entries(metadata)
  const writer = ggufPrefix(claimed.numTensors ?? tensors.length, claimed.numKeys ?? entries.length, claimed.version)
  for (const [key, value] of entries) writer.string(key).value(value)
  for (const tensor of tensors) writer.tensor(tensor)
  writer.pad(alignment)
  return data ? writer.raw(data).bytes : writer.bytes
}

const FIXTURES = new URL('../fixtures/', import.meta.url)

export interface GgufFixture {
  readonly file: Uint8Array
  readonly golden: {
    /** the config.json that the file was made from */
    readonly config: Readonly<Record<string, unknown>>
    /** name, shape, sha256 of the values, the first four, type */
    readonly dequant: readonly (readonly [string, number[], string, number[], string])[]
  }
}

export function ggufFixture(name: string): GgufFixture {
  const folder = new URL(`${name}/`, FIXTURES)
  const golden = JSON.parse(readFileSync(new URL('golden.json', folder), 'utf8'))
  return { file: new Uint8Array(readFileSync(new URL('model.gguf', folder))), golden }
}

/** The header of a file that is whole. */
export function parsedGguf(file: Uint8Array): GgufHeader {
  const header = parseGguf('model.gguf', file, file.length)
  if ('needs' in header) throw new Error(`a whole file needs ${header.needs} bytes`)
  return header
}
