/** Drafts verified and accepted at each position of a run of drafts. Counts only; it must never know which request drafted. */

import { sum } from '../util/math.ts'

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
    add(this.#verified, 0, verified, 1)
    add(this.#accepted, 0, accepted, 1)
  }

  /** Of a run that was counted with `accepted` drafts only the first `kept` count as accepted after all. */
  cut(accepted: number, kept: number): void {
    add(this.#accepted, kept, accepted, -1)
  }

  get verified(): readonly number[] {
    return [...this.#verified]
  }

  get accepted(): readonly number[] {
    return [...this.#accepted]
  }
}

/**
 * Tokens that a verification of at least one draft commits in the mean; 0 when there was none.
 * @param verified drafts at each position: every verification has one at the first
 */
export function meanAcceptedLength(verified: readonly number[], accepted: readonly number[]): number {
  const verifications = verified[0] ?? 0
  return verifications > 0 ? 1 + sum(accepted) / verifications : 0
}

function add(counts: number[], from: number, to: number, by: number): void {
  for (let j = from; j < to; j++) counts[j] = (counts[j] ?? 0) + by
}
