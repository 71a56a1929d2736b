/**
 * Acceptance rate by draft position, given that the drafts before it were accepted: an exponential moving average over all
 * requests, and a factor for each request that differs from it. It must never know times.
 */

import { at } from '../../util/math.ts'

/** The rate of the first position before anything was verified, and how many trials it counts as. */
const PRIOR_RATE = 0.7
const PRIOR_TRIALS = 2
/** Decay of the weight of earlier steps, per step. It does not go below so many trials: new trials soon outweigh old ones. */
const DECAY = 31 / 32
const MIN_TRIALS = 8
/** How fast the rate of a request that gets no drafts returns to the shared one, per step, so that it will be tried again. */
const RECOVERY = 1 / 256
/** Standard errors by which the rate of a request must differ from the shared one. */
const SIGNIFICANCE = 2

/** A request's part of a step: the first `accepted` of its `k` drafts were accepted. */
export interface VerifiedDrafts {
  readonly id: number
  readonly k: number
  readonly accepted: number
}

/** A moving average of accepted drafts over trials. */
class Rate {
  value: number
  trials = PRIOR_TRIALS

  constructor(prior: number) {
    this.value = prior
  }

  /** Takes a step. One without trials lets earlier ones decay all the same. */
  add(trials: number, accepted: number): void {
    this.trials = Math.max(this.trials * DECAY, Math.min(this.trials, MIN_TRIALS)) + trials
    this.value += (accepted - trials * this.value) / this.trials
  }
}

export class AcceptanceRates {
  /** by position, as far as drafts were verified */
  readonly #shared: Rate[] = []
  /** of the first position, by request id */
  readonly #own = new Map<number, Rate>()
  readonly #positions: number

  constructor(numSpeculativeTokens: number) {
    this.#positions = numSpeculativeTokens
  }

  observe(requests: readonly VerifiedDrafts[]): void {
    const longest = requests.reduce((most, { k }) => Math.max(most, k), 0)
    const priors = this.shared()
    for (let position = 0; position < this.#positions; position++) {
      let trials = 0
      let accepts = 0
      for (const { k, accepted } of position < longest ? requests : []) {
        if (position < k && position <= accepted) trials++
        if (position < accepted) accepts++
      }
      if (trials > 0) this.#shared[position] ??= new Rate(at(priors, position))
      this.#shared[position]?.add(trials, accepts)
    }
    if (longest === 0) return
    const shared = at(priors, 0)
    for (const { id, k, accepted } of requests) {
      const own = this.#own.get(id) ?? new Rate(shared)
      this.#own.set(id, own)
      if (k > 0) own.add(1, Math.min(accepted, 1))
      else own.value += RECOVERY * (shared - own.value)
    }
  }

  /** A request ended. */
  forget(id: number): void {
    this.#own.delete(id)
  }

  /** @returns [numSpeculativeTokens]; a position that was never verified is taken to be as good as the one before it */
  shared(): number[] {
    let rate = PRIOR_RATE
    return Array.from({ length: this.#positions }, (_, position) => {
      rate = this.#shared[position]?.value ?? rate
      return rate
    })
  }

  /** What the shared rates are to be multiplied by for a request; 1 as far as chance explains the difference. */
  factor(id: number): number {
    const own = this.#own.get(id)
    const shared = this.#shared[0]?.value
    if (!own || !shared) return 1
    const difference = own.value - shared
    const variance = (shared * (1 - shared) + 0.25 / own.trials) / own.trials
    const unexplained = 1 - (SIGNIFICANCE * SIGNIFICANCE * variance) / (difference * difference)
    return unexplained > 0 ? 1 + (difference / shared) * unexplained : 1
  }
}
