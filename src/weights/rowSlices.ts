/** Rows of a matrix cut, moved and counted, in any format. It must never know where a row comes from or goes. */

import { assert } from '../util/math.ts'
import { codeBytes, emptyRows, scaleWords, type WeightFormat, type WeightRows } from './format.ts'

/** Bytes of the codes and scales of a row. */
export function rowBytes(format: WeightFormat, inputs: number): number {
  return codeBytes(format, inputs) + 4 * scaleWords(format, inputs)
}

/** `count` rows from row `first` on; shares memory with `rows`. */
export function sliceRows(rows: WeightRows, first: number, count: number): WeightRows {
  const { format, inputs } = rows
  assert(0 <= first && first + count <= rows.count, `rows ${first}…${first + count - 1} are among ${rows.count}`)
  if (count === rows.count) return rows
  const [bytes, words] = [codeBytes(format, inputs), scaleWords(format, inputs)]
  return {
    format,
    inputs,
    count,
    codes: rows.codes.subarray(first * bytes, (first + count) * bytes),
    scales: rows.scales.subarray(first * words, (first + count) * words),
  }
}

/**
 * Rows of heads that stand in pairs, put back: row 2i + j of a head becomes its row i + j · headSize / 2. RoPE turns dims i and
 * i + headSize / 2 together; llama.cpp turns neighbours, and its converter moves rows accordingly (`permute` in
 * convert_hf_to_gguf.py).
 * @param rows whole heads
 */
export function unpairRows(rows: WeightRows, headSize: number): WeightRows {
  const { format, inputs, count } = rows
  assert(count % headSize === 0 && headSize % 2 === 0, `${count} rows are whole heads of ${headSize}`)
  const [bytes, words] = [codeBytes(format, inputs), scaleWords(format, inputs)]
  const out = emptyRows(format, inputs, count)
  for (let row = 0; row < count; row++) {
    const to = unpaired(row, headSize)
    out.codes.set(rows.codes.subarray(row * bytes, (row + 1) * bytes), to * bytes)
    out.scales.set(rows.scales.subarray(row * words, (row + 1) * words), to * words)
  }
  return out
}

/** Where row `row` of the pairs belongs. */
export function unpaired(row: number, headSize: number): number {
  const inHead = row % headSize
  return row - inHead + Math.floor(inHead / 2) + (inHead % 2) * (headSize / 2)
}
