/**
 * What it takes the drafter to catch up on a row, learnt from steps that did so and only decoded beside. It must never know whose
 * rows they were.
 */

import { at } from '../../util/math.ts'

/** Steps that count, the last ones: their median, so that a stray time says nothing. */
const STEPS = 5
/** Before so many are known, few rows are taken to cost nothing, or they would not be tried; more take a part of what the target's do. */
const TRUSTED_STEPS = 3
const FEW_ROWS = 32
const TARGET_ROWS = 1 / 16

export class CatchUpTime {
  /** milliseconds per row, oldest first */
  readonly #rates: number[] = []

  /** @param ms that the step took beyond one that did not catch up */
  observe(rows: number, ms: number): void {
    this.#rates.push(Math.max(0, ms / rows))
    if (this.#rates.length > STEPS) this.#rates.shift()
  }

  /** Whether it was measured often enough to be believed. */
  get trusted(): boolean {
    return this.#rates.length >= TRUSTED_STEPS
  }

  /**
   * Milliseconds.
   * @param requests whose rows they are, a base row each
   * @param base what a step of these base rows takes
   */
  of(rows: number, requests: number, base: number): number {
    if (rows === 0) return 0
    if (!this.trusted) return rows > FEW_ROWS * requests ? (rows / requests) * TARGET_ROWS * base : 0
    const sorted = [...this.#rates].sort((a, b) => a - b)
    return rows * at(sorted, sorted.length >> 1)
  }
}
