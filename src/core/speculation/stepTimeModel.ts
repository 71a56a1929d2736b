/**
 * Predicts the time of a step that only decodes, as target(rows) + draft passes × pass(requests), and that of catching up for each
 * row of the drafter's KV pass. It must never know acceptance rates.
 */

import { TimeTable } from './timeTable.ts'

/** Rows of catching up that count as measured at no time, before any were: the first few say little. */
const FREE_ROWS = 256

export class StepTimeModel {
  /** by rows of the step */
  readonly #target = new TimeTable()
  /** one draft pass, by requests */
  readonly #pass = new TimeTable()
  /** rows of the drafter's KV pass in steps that caught up, and the time that these took beyond the target's */
  #kvRows = FREE_ROWS
  #kvMs = 0

  /**
   * Takes the time of a step.
   * @param decoding requests: base rows
   * @param draftPasses at its end, for all requests; 0 where proposing takes no pass
   */
  observe(decoding: number, draftRows: number, draftPasses: number, ms: number): void {
    const rows = decoding + draftRows
    // The first step that proposes verifies nothing: its rows are known, so the rest is what the passes take.
    const passesOnly = draftPasses > 0 && draftRows === 0 && this.#target.has(rows)
    if (passesOnly) this.#pass.add(decoding, Math.max(0, ms - this.#target.at(rows)) / draftPasses)
    else this.#target.add(rows, Math.max(0, ms - draftPasses * this.#pass.at(decoding)))
  }

  /** Takes the time of a step without drafts whose KV pass of so many rows caught up. */
  observeCatchUp(decoding: number, kvRows: number, ms: number): void {
    if (!this.#target.has(decoding)) return
    this.#kvRows += kvRows
    this.#kvMs += ms - this.#target.at(decoding)
  }

  /** Whether a step of so many rows or more was measured. */
  reaches(rows: number): boolean {
    return this.#target.reaches(rows)
  }

  /** Whether a single step of so many rows was measured. */
  unconfirmed(rows: number): boolean {
    return this.#target.unconfirmed(rows)
  }

  /** Milliseconds. */
  predict(decoding: number, draftRows: number, draftPasses: number): number {
    return this.#target.at(decoding + draftRows) + draftPasses * this.#pass.at(decoding)
  }

  /** Milliseconds to catch up on so many rows. */
  predictCatchUp(rows: number): number {
    return (rows * Math.max(0, this.#kvMs)) / this.#kvRows
  }
}
