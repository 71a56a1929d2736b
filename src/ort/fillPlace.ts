/** Writes rows of a tensor to their place in a session's external file. It must never know what the tensor means. */

import { dequantiseRows } from '../weights/dequantise.ts'
import type { WeightRows } from '../weights/format.ts'
import { quantiseRow } from '../weights/quantise.ts'
import { sliceRows } from '../weights/rowSlices.ts'
import type { QuantisedPlace, WeightPlace } from './weightFile.ts'

/** Rows that are transposed together, so that writes are runs of so many bytes. */
const BLOCK_ROWS = 64

/**
 * @param file of the size that the layout has, at the start of its buffer
 * @param firstRow of the tensor
 */
export function fillPlace(file: Uint8Array<ArrayBuffer>, place: WeightPlace, firstRow: number, rows: WeightRows): void {
  const { rows: taken, quantised } = place
  const fill = (first: number, from: WeightRows) => {
    if (quantised) fillQuantised(file, place, quantised, first, from)
    else dequantiseRows(from, new Float32Array(file.buffer, place.first), first * place.rowSize)
  }
  if (!taken) {
    fill(firstRow, rows)
    return
  }
  for (const [index, row] of taken.entries()) {
    if (row >= firstRow && row < firstRow + rows.count) fill(index, sliceRows(rows, row - firstRow, 1))
  }
}

/** @param begin place of the first of the rows */
function fillQuantised(
  file: Uint8Array<ArrayBuffer>,
  { first, rowSize }: WeightPlace,
  { columns, column, scales }: QuantisedPlace,
  begin: number,
  from: WeightRows,
): void {
  const values = new Int8Array(file.buffer, first, rowSize * columns) // [rowSize][columns]
  const scaleOf = new Float32Array(file.buffer, scales, columns)
  const row = new Float32Array(rowSize)
  const block = new Int8Array(Math.min(BLOCK_ROWS, from.count) * rowSize) // [rows][rowSize]
  for (let done = 0; done < from.count; done += BLOCK_ROWS) {
    const rows = Math.min(BLOCK_ROWS, from.count - done)
    const to = column + begin + done
    for (let i = 0; i < rows; i++) {
      dequantiseRows(sliceRows(from, done + i, 1), row)
      scaleOf[to + i] = quantiseRow(row, block.subarray(i * rowSize, (i + 1) * rowSize))
    }
    for (let k = 0; k < rowSize; k++) {
      for (let i = 0; i < rows; i++) values[k * columns + to + i] = block[i * rowSize + k] as number
    }
  }
}
