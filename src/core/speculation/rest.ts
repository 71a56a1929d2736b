/**
 * Decisions that stand: where a look found nothing, the next steps in the same situation do without one, the more of them the more
 * often nothing was found. Choosing takes time on the host, most of it because a step leaves the caches cold. It must never know
 * what was looked for.
 */

import type { DraftDecision } from './draftPolicy.ts'

/** Steps without a look, at first and at most. */
const SHORTEST = 7
const LONGEST = 15

export class Rest {
  #decision: DraftDecision | undefined
  #decoding = 0
  #beside = false
  #left = 0
  /** steps of this rest, and of the one just before it in the same situation */
  #length = 0
  #before = 0

  /** Whether a decision stands. */
  get lasts(): boolean {
    return this.#left > 0
  }

  /**
   * One decision passes.
   * @param decoding requests
   * @param beside whether prompts run beside them
   * @returns the decision that stands; undefined where it is time to look
   */
  take(decoding: number, beside: boolean): DraftDecision | undefined {
    const same = this.#decoding === decoding && this.#beside === beside
    if (same && this.#left > 0) {
      this.#left--
      return this.#decision
    }
    this.#before = same ? this.#length : 0
    this.#length = 0
    this.#left = 0
    this.#decoding = decoding
    this.#beside = beside
    return undefined
  }

  /** A look found nothing: its decision stands, and says no longer what was weighed. */
  begin(decision: DraftDecision): void {
    this.#length = Math.min(Math.max(2 * this.#before + 1, SHORTEST), LONGEST)
    this.#left = this.#length
    this.#decision = { ...decision, goodput: [] }
  }
}
