/** Writes a tensor of the checkpoint to its place in a session's external file. It must never know what the tensor means. */

import { assert } from '../util/math.ts'
import { decodeWeights, WEIGHT_BYTES, type WeightDtype } from '../weights/decode.ts'
import { quantiseRow } from '../weights/quantise.ts'
import type { QuantisedPlace, WeightPlace } from './weightFile.ts'

/** Rows that are transposed together, so that writes are runs of so many bytes. */
const BLOCK_ROWS = 64

/**
 * @param file of the size that the layout has, at the start of its buffer
 * @param data the whole tensor, row-major
 */
export function fillPlace(
  file: Uint8Array<ArrayBuffer>,
  place: WeightPlace,
  data: Uint8Array,
  dtype: WeightDtype,
): void {
  const { tensor, size, rowSize, rows, first, quantised } = place
  const valueBytes = WEIGHT_BYTES[dtype]
  assert(data.byteLength === size * valueBytes, `tensor ${tensor} has ${size} values`)
  const rowBytes = rowSize * valueBytes
  const rowOf = (index: number): Uint8Array => {
    const row = rows?.[index] ?? index
    return data.subarray(row * rowBytes, (row + 1) * rowBytes)
  }
  const count = rows?.length ?? size / rowSize
  if (quantised) {
    fillQuantised(file, place, quantised, count, (index, out) => decodeWeights(rowOf(index), dtype, out))
    return
  }
  const values = new Float32Array(file.buffer, first, count * rowSize)
  if (!rows) decodeWeights(data, dtype, values)
  else for (let index = 0; index < count; index++) decodeWeights(rowOf(index), dtype, values, index * rowSize)
}

/** @param decode writes row `index` of the tensor */
function fillQuantised(
  file: Uint8Array<ArrayBuffer>,
  { first, rowSize }: WeightPlace,
  { columns, column, scales }: QuantisedPlace,
  count: number,
  decode: (index: number, out: Float32Array) => void,
): void {
  const values = new Int8Array(file.buffer, first, rowSize * columns) // [rowSize][columns]
  const scaleOf = new Float32Array(file.buffer, scales, columns)
  const row = new Float32Array(rowSize)
  const block = new Int8Array(BLOCK_ROWS * rowSize) // [BLOCK_ROWS][rowSize]
  for (let begin = 0; begin < count; begin += BLOCK_ROWS) {
    const rows = Math.min(BLOCK_ROWS, count - begin)
    for (let i = 0; i < rows; i++) {
      decode(begin + i, row)
      scaleOf[column + begin + i] = quantiseRow(row, block.subarray(i * rowSize, (i + 1) * rowSize))
    }
    for (let k = 0; k < rowSize; k++) {
      const to = k * columns + column + begin
      for (let i = 0; i < rows; i++) values[to + i] = block[i * rowSize + k] as number
    }
  }
}
