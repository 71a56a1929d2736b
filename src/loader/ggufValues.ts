/**
 * Reads the values of a GGUF header's metadata. Arrays of numbers become typed arrays of the file's own width, so that memory is
 * bounded by the bytes read. It must never know which keys a model has. Source: ggml's docs/gguf.md, and gguf.cpp of llama.cpp.
 */

import type { GgufNumbers, GgufValue } from '../models/ggufFields.ts'
import type { GgufCursor } from './ggufCursor.ts'

const [STRING, ARRAY] = [8, 9]

/** By the file's number of the type. */
const SCALARS: Readonly<Record<number, (cursor: GgufCursor, what: string) => string | number | boolean>> = {
  0: (cursor, what) => cursor.u8(what),
  1: (cursor, what) => cursor.i8(what),
  2: (cursor, what) => cursor.u16(what),
  3: (cursor, what) => cursor.i16(what),
  4: (cursor, what) => cursor.u32(what),
  5: (cursor, what) => cursor.i32(what),
  6: (cursor, what) => cursor.f32(what),
  7: (cursor, what) => cursor.boolean(what),
  8: (cursor, what) => cursor.string(what),
  10: (cursor, what) => cursor.u64(what),
  11: (cursor, what) => cursor.i64(what),
  12: (cursor, what) => cursor.f64(what),
}

type NumbersClass = { readonly BYTES_PER_ELEMENT: number; new (buffer: ArrayBuffer): GgufNumbers }

/** Types whose items can be taken as they are. */
const NUMBERS: Readonly<Record<number, NumbersClass>> = {
  0: Uint8Array,
  1: Int8Array,
  2: Uint16Array,
  3: Int16Array,
  4: Uint32Array,
  5: Int32Array,
  6: Float32Array,
  7: Uint8Array,
  12: Float64Array,
}

/** Bytes of the length that stands before a string: the least that one takes. */
const STRING_BYTES = 8

/** @throws MODEL_FORMAT naming `what` */
export function readValue(cursor: GgufCursor, what: string): GgufValue {
  const type = cursor.u32(what)
  if (type === ARRAY) return readArray(cursor, what)
  const read = SCALARS[type]
  if (!read) cursor.refuse(`is corrupted: ${what} has value type ${type}, which GGUF does not define`)
  return read(cursor, what)
}

function readArray(cursor: GgufCursor, what: string): GgufValue {
  const type = cursor.u32(what)
  const length = cursor.u64(what)
  if (type === STRING) {
    cursor.claim(length, STRING_BYTES, what)
    const strings: string[] = []
    for (let i = 0; i < length; i++) strings.push(cursor.string(what))
    return strings
  }
  const Numbers = NUMBERS[type]
  if (Numbers) return new Numbers(cursor.copy(length, Numbers.BYTES_PER_ELEMENT, what))
  const read = SCALARS[type]
  if (!read) {
    const fault =
      type === ARRAY ? 'is an array of arrays, which llama.cpp does not read either' : `has items of type ${type}`
    cursor.refuse(`is not supported: ${what} ${fault}; use a file that was made by llama.cpp`)
  }
  cursor.claim(length, 8, what)
  const values = new Float64Array(length)
  for (let i = 0; i < length; i++) values[i] = Number(read(cursor, what))
  return values
}
