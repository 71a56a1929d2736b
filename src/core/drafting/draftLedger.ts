/**
 * What speculation has earned and cost, in milliseconds against a step without drafts for the same tokens. Whoever drafts only
 * while nothing is owed is never slower than without drafts by more than the allowance, the purse and what one decision can
 * lose: over a whole run, and over any part of it. It must never know why a step drafted.
 */

/** The part of the time that may go into trying: 1 %. */
export const ALLOWANCE = 0.01

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

  /** Steps of such a loss that it can bear. */
  affords(loss: number): number {
    return loss > 0 ? Math.max(0, Math.floor(this.#balance / loss)) : Number.POSITIVE_INFINITY
  }

  /**
   * Books a step.
   * @param base what its tokens would have taken without drafts
   * @param spent what they took
   * @param purse the most that is kept, and what the ledger opens with: old gains excuse no long losses
   */
  book(base: number, spent: number, purse: number): void {
    if (!this.#opened) this.#balance = purse
    this.#opened = true
    this.#balance = Math.min(purse, this.#balance + (1 + ALLOWANCE) * base - spent)
  }
}
