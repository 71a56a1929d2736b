/**
 * Parses the safetensors header: 8 bytes of length, then JSON with each tensor's dtype, shape and offsets into the data.
 * As strict as the reference implementation (huggingface/safetensors, `Metadata::validate`): no gap, no overlap, nothing
 * past the end. It must never know how bytes arrive or which tensors a model needs.
 */

import { WeirError } from '../protocol/errors.ts'
import { foreignFormat } from './foreignFormat.ts'

export interface TensorInfo {
  readonly name: string
  /** safetensors' name: 'BF16', 'F16', 'F32' or another */
  readonly dtype: string
  readonly shape: readonly number[]
  /** size of the data */
  readonly bytes: number
}

/** Bytes that hold the header's length. */
export const LENGTH_BYTES = 8

/** The reference implementation's limit on the header. */
const MAX_HEADER_BYTES = 100_000_000

const DTYPE_BITS: Readonly<Record<string, number>> = {
  BOOL: 8,
  U8: 8,
  I8: 8,
  F8_E4M3: 8,
  F8_E5M2: 8,
  F8_E8M0: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  I64: 64,
  U64: 64,
  F64: 64,
}

/**
 * The length of the JSON after the first 8 bytes.
 * @param start the first bytes of the file
 * @param fileBytes size of the file, if known
 * @throws MODEL_FORMAT when the file cannot be safetensors, naming the format it looks like
 */
export function headerLength(url: string, start: Uint8Array, fileBytes?: number): number {
  const looksLike = String.fromCharCode(...start.subarray(0, 4)) === 'GGUF' ? 'a GGUF file' : foreignFormat(start)
  if (looksLike) formatError(url, `is ${looksLike}, not a safetensors file`)
  if (start.length < LENGTH_BYTES) {
    formatError(url, `has ${start.length} bytes, fewer than the ${LENGTH_BYTES} of a safetensors header length`)
  }
  const length = new DataView(start.buffer, start.byteOffset, LENGTH_BYTES).getBigUint64(0, true)
  const room = Math.min(MAX_HEADER_BYTES, (fileBytes ?? Number.POSITIVE_INFINITY) - LENGTH_BYTES)
  if (length < 2n || length > BigInt(room)) {
    const limit = room < MAX_HEADER_BYTES ? `the file has ${fileBytes} bytes` : `the limit is ${MAX_HEADER_BYTES}`
    formatError(url, `is not a safetensors file or is cut off: its header length reads ${length} bytes, ${limit}`)
  }
  return Number(length)
}

/**
 * The tensors of a header in file order; together they cover the data exactly.
 * @param json the header's JSON, without the 8 bytes before it
 * @param dataBytes size of the data after the header, if known
 * @throws MODEL_FORMAT naming the tensor
 */
export function parseHeader(url: string, json: Uint8Array, dataBytes?: number): TensorInfo[] {
  const placed = Object.entries(headerObject(url, json))
    .filter(([name]) => name !== '__metadata__')
    .map(([name, entry]) => placedTensor(url, name, entry))
    .sort((a, b) => a.begin - b.begin || a.end - b.end)

  let end = 0
  let before = 'the start of the data'
  for (const { info, begin, end: next } of placed) {
    if (begin !== end) {
      const fault = begin < end ? 'overlaps' : 'leaves a gap after'
      formatError(url, `is corrupted: tensor ${info.name} at offset ${begin} ${fault} ${before}, which ends at ${end}`)
    }
    end = next
    before = `tensor ${info.name}`
  }
  if (dataBytes !== undefined && dataBytes !== end) {
    const fault = dataBytes < end ? 'is cut off' : 'is corrupted'
    formatError(url, `${fault}: its header describes ${end} bytes of data, the file has ${dataBytes}`)
  }
  return placed.map(({ info }) => info)
}

interface PlacedTensor {
  readonly info: TensorInfo
  /** offsets into the data that follows the header */
  readonly begin: number
  readonly end: number
}

function headerObject(url: string, json: Uint8Array): Readonly<Record<string, unknown>> {
  let header: unknown
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json))
  } catch (thrown) {
    const cause = thrown instanceof Error ? thrown.message : String(thrown)
    formatError(url, `is corrupted: its header is not JSON (${cause})`)
  }
  if (!isRecord(header)) formatError(url, 'is corrupted: its header is not a JSON object')
  return header
}

function placedTensor(url: string, name: string, entry: unknown): PlacedTensor {
  const { dtype, shape, data_offsets: offsets } = isRecord(entry) ? entry : {}
  if (typeof dtype !== 'string' || !isSizes(shape) || !isSizes(offsets) || offsets.length !== 2) {
    formatError(url, `is corrupted: tensor ${name} has no valid dtype, shape and data_offsets`)
  }
  const [begin = 0, end = 0] = offsets
  const bytes = end - begin
  if (bytes < 0) formatError(url, `is corrupted: tensor ${name} ends at ${end}, before its start at ${begin}`)
  const bits = DTYPE_BITS[dtype]
  const expected = shape.reduce((product, size) => product * size, (bits ?? 0) / 8)
  if (bits !== undefined && bytes !== expected) {
    formatError(
      url,
      `is corrupted: tensor ${name} of ${dtype} [${shape.join(', ')}] needs ${expected} bytes, has ${bytes}`,
    )
  }
  return { info: { name, dtype, shape, bytes }, begin, end }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isSizes(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0)
}

function formatError(url: string, fault: string): never {
  throw new WeirError('MODEL_FORMAT', `${url} ${fault}`, { url })
}
