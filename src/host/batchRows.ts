/** Rows of one pass, put together row by row. The arrays are allocated once. It must never know what a pass computes. */

import { assert } from '../util/math.ts'
import { NO_SLOT, type RowBatch, type RowRun } from './hostModel.ts'
import type { TableRow } from './requestTable.ts'

/** A run that may still get rows. */
type OpenRun = { -readonly [Field in keyof RowRun]: RowRun[Field] }

export class BatchRows implements RowBatch {
  readonly ids: Int32Array // [most]
  readonly positions: Int32Array // [most]
  readonly slots: Int32Array // [most]
  readonly #runs: OpenRun[] = []
  #count = 0

  constructor(most: number) {
    this.ids = new Int32Array(most)
    this.positions = new Int32Array(most)
    this.slots = new Int32Array(most)
  }

  get count(): number {
    return this.#count
  }

  get runs(): readonly RowRun[] {
    return this.#runs
  }

  clear(): void {
    this.#count = 0
    this.#runs.length = 0
  }

  /**
   * Adds a row of a request. Past the request's last position it gets no slot and the last position, so that no block beyond the
   * request's own is read; what is computed there is never used.
   * @param stored false: K and V of the row are not stored by this pass
   */
  push(request: TableRow, id: number, position: number, stored = true): void {
    const row = this.#count++
    assert(row < this.ids.length, `row ${row} of a pass is among the ${this.ids.length} that fit`)
    const clamped = request.clamped(position)
    this.ids[row] = id
    this.positions[row] = clamped
    this.slots[row] = stored ? request.slot(position) : NO_SLOT
    const run = this.#runs.at(-1)
    if (run && run.blocks === request.blocks && clamped === run.position + run.rows) run.rows++
    else this.#runs.push({ firstRow: row, rows: 1, position: clamped, blocks: request.blocks })
  }
}
