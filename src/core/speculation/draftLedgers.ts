/**
 * What speculation may cost: two ledgers, one of the steps that only decode, whose costs are measured, and one of the steps beside
 * prompts, whose costs are guessed, so that no guess excuses a measured loss. It must never know why a step drafted.
 *
 * Steps that only decode take, from the first to any, no longer than their tokens would have taken without drafts, by more than
 * - 1 % of that time, and half a percent of the time of base rows beside prompts;
 * - the opening purse: four steps without drafts;
 * - what two decisions can lose, because the one before a debt shows is on its way.
 * Over any part of a run the largest purse takes the place of the opening one: earlier gains may be lost again. Beside prompts the
 * same holds by what their rows are guessed to take. What nobody can know is not counted: a size of step that runs for the first
 * time, a number of requests of which no step ran without drafts, stray times, and prompts that come upon drafts proposed before.
 */

import { ALLOWANCE, DraftLedger, OPENING_PURSE } from './draftLedger.ts'

export class DraftLedgers {
  readonly #decode = new DraftLedger()
  readonly #beside = new DraftLedger()

  /** Whether no drafts may be decided. @param beside the step will hold rows of prompts */
  owe(beside: boolean): boolean {
    return this.#decode.owes || (beside && this.#beside.owes)
  }

  /** Milliseconds that may be lost; below 0, what must be earned back first. */
  balance(beside: boolean): number {
    return beside ? Math.min(this.#decode.balance, this.#beside.balance) : this.#decode.balance
  }

  /** Steps of such a loss that can be borne where nothing runs beside. @param first what is lost before them */
  afford(loss: number, first: number): number {
    const rest = this.#decode.balance - first
    if (loss <= 0) return first === 0 || rest >= 0 ? Number.POSITIVE_INFINITY : 0
    return Math.max(0, Math.floor(rest / loss))
  }

  /**
   * Books a step that only decoded.
   * @param base what it would have taken without drafts
   * @param spent what it took
   * @param tokens that it committed, by those without drafts
   */
  book(base: number, spent: number, tokens: number): void {
    this.#decode.book(base, spent, tokens)
  }

  /**
   * Books a step beside prompts, by a guess.
   * @param foreseen its drafts were decided beside prompts; those that prompts came upon cannot be called back, and are nobody's fault
   */
  bookBeside(base: number, spent: number, tokens: number, foreseen: boolean): void {
    // Half of what it allows goes to the other ledger, or nothing could be earned back where every step has prompts.
    const half = (ALLOWANCE / 2) * base
    this.#decode.book(base, base + half, 1)
    // A guess may be far from the truth: no single one must rule.
    if (foreseen) this.#beside.book(base, Math.min(spent, (1 + OPENING_PURSE) * base) + half, tokens)
  }
}
