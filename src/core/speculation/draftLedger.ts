/**
 * What speculation has earned and cost, in milliseconds at the machine's usual pace, against steps without drafts for the same
 * tokens. Whoever drafts only while nothing is owed loses no more than the allowance, the purse and what is on its way. It must
 * never know why a step drafted.
 */

/** The part of the time that may go into trying: 1 %. */
export const ALLOWANCE = 0.01

/** In steps without drafts: what may be lost before anything was earned, and the most that is kept of what was. */
export const OPENING_PURSE = 4
export const LARGEST_PURSE = 32

export class DraftLedger {
  #balance = 0
  #opened = false

  /** What may be lost from here on; below 0, what must be earned back first. */
  get balance(): number {
    return this.#balance
  }

  get owes(): boolean {
    return this.#balance < 0
  }

  /**
   * Books a step.
   * @param base what it would have taken without drafts
   * @param spent what it took
   * @param tokens that it committed, by those without drafts
   */
  book(base: number, spent: number, tokens: number): void {
    if (!this.#opened) this.#balance = OPENING_PURSE * base
    this.#opened = true
    const gain = (1 + ALLOWANCE) * base * tokens - spent
    // No gain excuses a long loss; a purse that a larger batch has filled is not emptied by a smaller one.
    const limit = Math.max(this.#balance, LARGEST_PURSE * base)
    this.#balance = Math.min(limit, this.#balance + gain)
  }
}
