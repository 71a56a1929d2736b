/** The embedding matrix in host memory in its own format, dequantised row by row. */

import { assert } from '../util/math.ts'
import { dequantiseRows } from '../weights/dequantise.ts'
import { emptyRows, type WeightFormat, type WeightRows } from '../weights/format.ts'
import { sliceRows } from '../weights/rowSlices.ts'

export class EmbeddingRows {
  readonly #rows: WeightRows
  /** rows that have come */
  #filled = 0

  constructor(format: WeightFormat, vocabSize: number, hiddenSize: number) {
    this.#rows = emptyRows(format, hiddenSize, vocabSize)
  }

  get bytes(): number {
    return this.#rows.codes.byteLength + this.#rows.scales.byteLength
  }

  get complete(): boolean {
    return this.#filled === this.#rows.count
  }

  /** Copies rows to their place. */
  set(firstRow: number, rows: WeightRows): void {
    const place = sliceRows(this.#rows, firstRow, rows.count)
    place.codes.set(rows.codes)
    place.scales.set(rows.scales)
    this.#filled += rows.count
  }

  /** Writes the f32 embeddings of the first `count` ids into `out`, [count][hiddenSize]. */
  lookUp(ids: Int32Array, count: number, out: Float32Array): void {
    const { inputs, count: vocabSize } = this.#rows
    for (let row = 0; row < count; row++) {
      const id = ids[row] ?? -1
      assert(id >= 0 && id < vocabSize, `id ${id} of row ${row} is in the vocabulary`)
      dequantiseRows(sliceRows(this.#rows, id, 1), out, row * inputs)
    }
  }
}
