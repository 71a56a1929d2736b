/** Drafts verified and accepted at each position of a run of drafts. Counts only; it must never know which request drafted. */

export class AcceptanceCounter {
  /** drafts verified at position 1… */
  readonly #verified: number[] // [numSpeculativeTokens]
  readonly #accepted: number[] // [numSpeculativeTokens]

  constructor(numSpeculativeTokens: number) {
    this.#verified = new Array<number>(numSpeculativeTokens).fill(0)
    this.#accepted = new Array<number>(numSpeculativeTokens).fill(0)
  }

  /** Counts one request's step: the first `accepted` of `verified` drafts were kept. */
  count(verified: number, accepted: number): void {
    for (let j = 0; j < verified; j++) {
      this.#verified[j] = (this.#verified[j] ?? 0) + 1
      if (j < accepted) this.#accepted[j] = (this.#accepted[j] ?? 0) + 1
    }
  }

  get verified(): readonly number[] {
    return [...this.#verified]
  }

  get accepted(): readonly number[] {
    return [...this.#accepted]
  }
}
