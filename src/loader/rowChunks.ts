/** Cuts the rows of a matrix into the chunks that are passed on at a time. It must never know what is in them. */

import type { BoundTensor } from '../models/bindTensors.ts'
import { at } from '../util/math.ts'
import { rowBytes } from '../weights/rowSlices.ts'

/** Rows of one of a stack's tensors. */
export interface StackRows {
  readonly tensor: BoundTensor
  /** the first one, in the tensor */
  readonly row: number
  /** the first one, in the stack */
  readonly stackRow: number
  readonly count: number
}

/** Of the rows that are passed on at a time, unless the least number of rows has more. */
const CHUNK_BYTES = 4 * 1024 * 1024

/** A chunk begins at a multiple of this many rows of its tensor. */
const CHUNK_ROWS = 32

/** The rows of matrices that stand one upon another, in order: multiples of 32 rows, and whole heads where rows stand in pairs. */
export function rowChunks(stack: readonly BoundTensor[]): StackRows[] {
  const chunks: StackRows[] = []
  let stackRow = 0
  for (const tensor of stack) {
    const rows = at(tensor.shape, 0)
    const most = chunkRows(tensor)
    for (let row = 0; row < rows; row += most) {
      const count = Math.min(most, rows - row)
      chunks.push({ tensor, row, stackRow, count })
      stackRow += count
    }
  }
  return chunks
}

function chunkRows({ format, shape, pairedRows = 1 }: BoundTensor): number {
  const least = leastCommonMultiple(CHUNK_ROWS, pairedRows)
  const rows = Math.floor(CHUNK_BYTES / rowBytes(format, at(shape, 1)))
  return Math.max(least, rows - (rows % least))
}

function leastCommonMultiple(a: number, b: number): number {
  const divisor = (x: number, y: number): number => (y === 0 ? x : divisor(y, x % y))
  return (a / divisor(a, b)) * b
}
