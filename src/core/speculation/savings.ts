/**
 * What probes are paid from: a small part of the tokens, in steps' worth of them. Paid before is what a probe is expected to cost,
 * and settled afterwards what it did. It must never know what is tried.
 */

/** The most that is saved. */
const MOST_SAVED = 16

/** The most that is charged afterwards: what lost more had bad luck, or the machine was slow. */
const MOST_CHARGED = 1

export class Savings {
  /** the part of every step that is saved */
  readonly #part: number
  #balance = 0

  constructor(part: number) {
    this.#part = part
  }

  get balance(): number {
    return this.#balance
  }

  /** One step passes. */
  tick(): void {
    this.#earn(this.#part)
  }

  pay(price: number): void {
    this.#balance -= price
  }

  /** Settles what was lost less than expected; below 0, more. Of a gain half: luck must not feed luck. */
  settle(gain: number): void {
    this.#earn(gain > 0 ? gain / 2 : Math.max(gain, -MOST_CHARGED))
  }

  #earn(part: number): void {
    this.#balance = Math.min(this.#balance + part, MOST_SAVED)
  }
}
