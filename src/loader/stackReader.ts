/**
 * From the bytes of one matrix or vector of the files to rows of the model's tensors, a few megabytes at a time. It must never know where
 * the bytes come from, nor where the rows go.
 */

import type { RowSink } from '../backend/backend.ts'
import type { BoundTensor } from '../models/bindTensors.ts'
import { assert, at } from '../util/math.ts'
import { decodeWeights } from '../weights/decode.ts'
import { decodeRows } from '../weights/decodeRows.ts'
import { encodingBytes, isRowWise, matrixBytes } from '../weights/encoding.ts'
import type { WeightRows } from '../weights/format.ts'
import { sliceRows, unpaired, unpairRows } from '../weights/rowSlices.ts'
import { rowChunks, type StackRows } from './rowChunks.ts'

/** Tensors that are consecutive rows of one matrix of the files, in order; or one vector. */
export type TensorStack = readonly BoundTensor[]

/**
 * Takes the bytes of the files' tensors, one after another; `part` is the index in the order of the encoding. If rows can be decoded as
 * they come, only those of the stack, and codes last; else the whole matrix.
 */
export type StackReader = (part: number, bytes: Uint8Array) => Promise<void>

export function stackReader(stack: TensorStack, sink: RowSink): StackReader {
  const first = at(stack, 0)
  if (first.shape.length === 1) return vectorReader(first, sink)
  return isRowWise(first.encoding) ? rowReader(stack, sink) : matrixReader(stack, sink)
}

/** Holds all parts but the codes. */
function rowReader(stack: TensorStack, sink: RowSink): StackReader {
  const { encoding, shape } = at(stack, 0)
  const inputs = at(shape, 1)
  const chunks = rowChunks(stack)
  const rows = chunks.reduce((total, { count }) => total + count, 0)
  const [codeBytes = 0, ...otherBytes] = encodingBytes(encoding, inputs)
  const others = otherBytes.map((bytes) => ({ bytes, held: new Filling(new Uint8Array(rows * bytes)) }))
  const buffer = new Uint8Array(Math.max(...chunks.map(({ count }) => count * codeBytes)))
  const codesOf = ({ count }: StackRows) => new Filling(buffer.subarray(0, count * codeBytes))
  let next = 0
  let codes = codesOf(at(chunks, 0))
  return async (part, bytes) => {
    if (part > 0) {
      at(others, part - 1).held.add(bytes)
      return
    }
    for (let rest = bytes; rest.length > 0; ) {
      const chunk = at(chunks, next)
      rest = codes.add(rest)
      if (!codes.full) return
      const { stackRow, count } = chunk
      const data = others.map(({ bytes, held }) => held.data.subarray(stackRow * bytes, (stackRow + count) * bytes))
      await pass(sink, chunk, decodeRows(encoding, [codes.data, ...data], count, inputs))
      next += 1
      if (next < chunks.length) codes = codesOf(at(chunks, next))
    }
  }
}

/** Holds the whole matrix: its outputs lie side by side. */
function matrixReader(stack: TensorStack, sink: RowSink): StackReader {
  const { encoding, shape, firstRow, fileRows } = at(stack, 0)
  const inputs = at(shape, 1)
  const parts = matrixBytes(encoding, fileRows, inputs).map((bytes) => new Filling(new Uint8Array(bytes)))
  return async (part, bytes) => {
    at(parts, part).add(bytes)
    if (!parts.every(({ full }) => full)) return
    const data = parts.map(({ data }) => data)
    const rows = decodeRows(encoding, data, fileRows, inputs)
    for (const chunk of rowChunks(stack)) {
      await pass(sink, chunk, sliceRows(rows, firstRow + chunk.stackRow, chunk.count))
    }
  }
}

async function pass(sink: RowSink, { tensor, row }: StackRows, rows: WeightRows): Promise<void> {
  const { pairedRows } = tensor
  await sink(tensor, row, pairedRows === undefined ? rows : unpairRows(rows, pairedRows))
}

function vectorReader(tensor: BoundTensor, sink: RowSink): StackReader {
  const { encoding, shape, pairedRows, add } = tensor
  assert(encoding.kind === 'plain', `${tensor.name} is a vector of plain values`)
  const { dtype } = encoding
  const count = at(shape, 0)
  const held = new Filling(new Uint8Array(at(matrixBytes(encoding, 1, count), 0)))
  return async (_part, bytes) => {
    held.add(bytes)
    if (!held.full) return
    const stored = new Float32Array(count)
    decodeWeights(held.data, dtype, stored)
    const values = new Float32Array(count)
    for (let i = 0; i < count; i++) {
      values[pairedRows === undefined ? i : unpaired(i, pairedRows)] = at(stored, i) + add
    }
    const codes = new Uint8Array(values.buffer)
    await sink(tensor, 0, { format: { codes: 'f32' }, inputs: count, count: 1, codes, scales: new Uint32Array(0) })
  }
}

/** Bytes that arrive one after another. */
class Filling {
  readonly data: Uint8Array
  #filled = 0

  constructor(data: Uint8Array) {
    this.data = data
  }

  get full(): boolean {
    return this.#filled === this.data.length
  }

  /** Takes what there is room for. @returns the rest */
  add(bytes: Uint8Array): Uint8Array {
    const taken = bytes.subarray(0, this.data.length - this.#filled)
    this.data.set(taken, this.#filled)
    this.#filled += taken.length
    return bytes.subarray(taken.length)
  }
}
