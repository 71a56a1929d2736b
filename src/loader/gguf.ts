/**
 * Parses the header of a GGUF file: metadata, then name, shape, type and offset of each tensor. As strict as the reference
 * implementation (gguf_init_from_reader in gguf.cpp of llama.cpp), and no tensor may overlap another. It must never know how bytes
 * arrive, what the metadata mean, or which tensors a model needs.
 */

import type { GgufMetadata, GgufTensor, GgufValue } from '../models/ggufFields.ts'
import { GGML_BLOCKS } from '../weights/ggmlTypes.ts'
import { foreignFormat } from './foreignFormat.ts'
import { GgufCursor, HeaderEnds, MAX_HEADER_BYTES } from './ggufCursor.ts'
import { readValue } from './ggufValues.ts'

export { MAX_HEADER_BYTES }

export interface GgufHeader {
  readonly version: number
  readonly metadata: GgufMetadata
  /** in file order */
  readonly tensors: readonly GgufTensor[]
  /** where the data begins, in bytes from the start of the file */
  readonly dataStart: number
}

/** Least bytes of an entry: a key's length, the value's type, one byte. A name's length, the dims' count, type, offset. */
const [KEY_BYTES, TENSOR_BYTES] = [13, 24]
/** How many first bytes to begin with: few headers with a vocabulary are shorter. */
export const GGUF_START_BYTES = 1_000_000
const DEFAULT_ALIGNMENT = 32
/** Of ggml: GGML_MAX_DIMS. */
const MAX_DIMS = 4

/**
 * @param start the first bytes of the file; more than the header is fine
 * @param fileBytes size of the file, if known
 * @returns the header; or, where `start` ends before it, how many first bytes to come back with: at least twice as many, if the file
 * can have them
 * @throws MODEL_FORMAT naming what is wrong, and the key or the tensor
 */
export function parseGguf(url: string, start: Uint8Array, fileBytes?: number): GgufHeader | { readonly needs: number } {
  const cursor = new GgufCursor(url, start, fileBytes)
  try {
    return readHeader(cursor, start, fileBytes)
  } catch (thrown) {
    if (!(thrown instanceof HeaderEnds)) throw thrown
    const limit = Math.min(MAX_HEADER_BYTES, fileBytes ?? MAX_HEADER_BYTES)
    return { needs: Math.min(limit, Math.max(thrown.bytes, 2 * start.length, GGUF_START_BYTES)) }
  }
}

function readHeader(cursor: GgufCursor, start: Uint8Array, fileBytes: number | undefined): GgufHeader {
  const version = readVersion(cursor, start)
  const numTensors = cursor.u64('the number of tensors')
  const numKeys = cursor.u64('the number of metadata keys')
  cursor.claim(1, numKeys * KEY_BYTES + numTensors * TENSOR_BYTES, `a header of ${numKeys} keys, ${numTensors} tensors`)
  const metadata = readMetadata(cursor, numKeys)
  const alignment = readAlignment(cursor, metadata)
  const tensors = readTensors(cursor, numTensors, alignment)
  const dataStart = Math.ceil(cursor.offset / alignment) * alignment
  checkPlaces(cursor, tensors, fileBytes === undefined ? undefined : fileBytes - dataStart)
  return { version, metadata, tensors, dataStart }
}

function readVersion(cursor: GgufCursor, start: Uint8Array): number {
  const magic = cursor.u32('the magic number')
  if (magic !== 0x46554747) cursor.refuse(`is ${otherFormat(start)}, not a GGUF file`)
  const version = cursor.u32('the version')
  const found = version % 0x10000 === 0 && version !== 0 ? 'is big-endian GGUF' : `is GGUF version ${version}`
  if (version !== 2 && version !== 3) {
    cursor.refuse(
      `${found}; versions 2 and 3 in little-endian are supported: convert the model again with a current llama.cpp`,
    )
  }
  return version
}

function otherFormat(start: Uint8Array): string {
  const [first = 0, second = 0, third = 0, fourth = 0] = start
  const magic = String.fromCharCode(fourth, third, second, first)
  if (/^gg(ml|mf|jt|la)$/.test(magic))
    return 'a ggml file from before GGUF (convert the model again with a current llama.cpp)'
  if (start[8] === 0x7b) return 'a safetensors file, by its looks'
  return foreignFormat(start) ?? 'of another format'
}

function readMetadata(cursor: GgufCursor, numKeys: number): GgufMetadata {
  const metadata = new Map<string, GgufValue>()
  for (let i = 0; i < numKeys; i++) {
    const key = cursor.string(`metadata key ${i}`)
    if (key === '') cursor.refuse(`is corrupted: metadata key ${i} is empty`)
    if (metadata.has(key)) cursor.refuse(`is corrupted: metadata key ${shown(key)} stands there twice`)
    metadata.set(key, readValue(cursor, `metadata key ${shown(key)}`))
  }
  return metadata
}

function readAlignment(cursor: GgufCursor, metadata: GgufMetadata): number {
  const alignment = metadata.get('general.alignment') ?? DEFAULT_ALIGNMENT
  if (typeof alignment === 'number' && Number.isInteger(alignment) && alignment >= 1 && alignment <= 2 ** 30) {
    if ((alignment & (alignment - 1)) === 0) return alignment
  }
  cursor.refuse(`is corrupted: general.alignment is ${shown(String(alignment))}, it must be a power of two`)
}

function readTensors(cursor: GgufCursor, numTensors: number, alignment: number): GgufTensor[] {
  const tensors: GgufTensor[] = []
  const names = new Set<string>()
  for (let i = 0; i < numTensors; i++) {
    const tensor = readTensor(cursor, i)
    if (names.has(tensor.name)) cursor.refuse(`is corrupted: tensor ${shown(tensor.name)} stands there twice`)
    if (tensor.offset % alignment !== 0) {
      const place = `tensor ${shown(tensor.name)} at offset ${tensor.offset}`
      cursor.refuse(`is corrupted: ${place} is not aligned to ${alignment} bytes`)
    }
    names.add(tensor.name)
    tensors.push(tensor)
  }
  return tensors
}

function readTensor(cursor: GgufCursor, index: number): GgufTensor {
  const name = cursor.string(`the name of tensor ${index}`)
  const what = `tensor ${shown(name)}`
  const dims = cursor.u32(what)
  if (dims > MAX_DIMS) cursor.refuse(`is corrupted: ${what} has ${dims} dims, ggml has at most ${MAX_DIMS}`)
  // ggml puts the fastest dim first.
  const shape = Array.from({ length: dims }, () => cursor.u64(what)).reverse()
  const id = cursor.u32(what)
  const offset = cursor.u64(what)
  const block = GGML_BLOCKS.get(id)
  if (!block) {
    cursor.refuse(
      `is not supported: ${what} has type ${id}, which ggml does not define or no longer does; use a file of Q4_K_M, Q8_0 or BF16`,
    )
  }
  const columns = shape.at(-1) ?? 1
  if (columns % block.values !== 0) {
    cursor.refuse(
      `is corrupted: rows of ${what} have ${columns} values, no whole number of ${block.type} blocks of ${block.values}`,
    )
  }
  const values = shape.reduce((product, size) => product * size, 1)
  const bytes = (values / block.values) * block.bytes
  if (!Number.isSafeInteger(values) || !Number.isSafeInteger(offset + bytes)) {
    cursor.refuse(`is corrupted: ${what} of ${block.type} [${shape.join(', ')}] at offset ${offset} ends beyond 2^53`)
  }
  return { name, shape, type: block.type, offset, bytes }
}

/** @param dataBytes size of the data after the header, if known */
function checkPlaces(cursor: GgufCursor, tensors: readonly GgufTensor[], dataBytes: number | undefined): void {
  let end = 0
  let before = ''
  const filled = tensors.filter(({ bytes }) => bytes > 0)
  for (const { name, offset, bytes } of filled.sort((a, b) => a.offset - b.offset)) {
    const place = `tensor ${shown(name)} at offset ${offset}`
    if (offset < end) cursor.refuse(`is corrupted: ${place} overlaps tensor ${shown(before)}, which ends at ${end}`)
    end = offset + bytes
    before = name
    if (dataBytes !== undefined && end > dataBytes) {
      const rest = Math.max(dataBytes, 0)
      cursor.refuse(`is cut off: ${place} ends at ${end}, the file has ${rest} bytes of data; download it again`)
    }
  }
}

/** A name of the file in a message. */
function shown(name: string): string {
  return name.length > 80 ? `${name.slice(0, 80)}…` : name
}
