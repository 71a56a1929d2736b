/**
 * How likely a draft is right, by its position in the run of drafts, given that those before it were: of everybody, and of one
 * request as far as its own record says something else. It must never know times.
 */

import { at } from '../../util/math.ts'
import { SteadyMean } from './steadyMean.ts'

/** Assumed of the first position before anything was verified. Optimistic: being wrong costs a few steps, and teaches. */
const FIRST_GUESS = 0.7

/** Trials that the guess for a position counts for: the first drafts verified there outweigh it soon. */
const GUESS_TRIALS = 4

/** Of the shared record: 16 trials, or those of 8 steps if these are more, are held against what came before them. */
const SHARED = { values: 16, batches: 8, largest: 7, range: 1, surprise: 4 }

/** A request's own record remembers so many trials. */
const OWN_TRIALS = 64

/** Standard errors that a request must be away from everybody before its own record counts: one lucky run is no character. */
const CHARACTER = 2.5

/** What is left of a request's own record at a position after a step that tried others there: nobody is written off for ever. */
const FADING = 63 / 64

interface Rate {
  /** accepted part of the trials */
  rate: number
  /** trials it rests on */
  trials: number
}

/** A request's step: the first `accepted` of `k` drafts were right. */
export interface VerifiedDrafts {
  readonly id: number
  readonly k: number
  readonly accepted: number
}

export class AcceptanceEstimate {
  readonly #shared: readonly SteadyMean[] // [numSpeculativeTokens]
  /** by request id; [numSpeculativeTokens] */
  readonly #own = new Map<number, Rate[]>()

  constructor(numSpeculativeTokens: number) {
    this.#shared = Array.from({ length: numSpeculativeTokens }, () => new SteadyMean(SHARED))
  }

  /** Takes what one step verified. */
  observe(requests: readonly VerifiedDrafts[]): void {
    this.#shared.forEach((record, position) => {
      let trials = 0
      let right = 0
      for (const { k, accepted } of requests) {
        if (position >= k || position > accepted) continue
        trials++
        if (position < accepted) right++
      }
      if (trials > 0) record.add(trials, right / trials, (right * (trials - right)) / trials)
    })
    let most = 0
    for (const { k } of requests) most = Math.max(most, k)
    if (most > 0) for (const request of requests) this.#observeOwn(request, most)
  }

  /** Drops the record of a request that ended. */
  forget(id: number): void {
    this.#own.delete(id)
  }

  /** The shared rate of every position. One that was not tried yet is taken to be as good as the one before. */
  rates(): number[] {
    let guess = FIRST_GUESS
    return this.#shared.map(({ count, mean }) => {
      guess = (mean * count + guess * GUESS_TRIALS) / (count + GUESS_TRIALS)
      return guess
    })
  }

  /** The variance of the shared rate at a position. */
  variance(position: number): number {
    const { count, variance } = at(this.#shared, position)
    return (variance * count + 0.25) / (count + 1)
  }

  /**
   * A request's own rates.
   * @param shared rates of everybody
   * @returns undefined where it is like everybody
   */
  own(id: number, shared: readonly number[]): number[] | undefined {
    const own = this.#own.get(id)
    if (!own) return undefined
    let rates: number[] | undefined
    for (let position = 0; position < own.length; position++) {
      const { rate, trials } = at(own, position)
      const everybody = at(shared, position)
      const apart = (rate - everybody) ** 2
      const chance = (CHARACTER * CHARACTER * (everybody * (1 - everybody) + 0.25 / trials)) / trials
      if (trials === 0 || apart <= chance) continue
      rates ??= [...shared]
      rates[position] = everybody + (rate - everybody) * (1 - chance / apart)
    }
    return rates
  }

  /** @param most drafts of any request in this step */
  #observeOwn({ id, k, accepted }: VerifiedDrafts, most: number): void {
    let own = this.#own.get(id)
    if (!own) {
      if (k === 0) return
      own = this.#shared.map(() => ({ rate: 0, trials: 0 }))
      this.#own.set(id, own)
    }
    for (let position = 0; position < most; position++) {
      const record = at(own, position)
      if (position >= k) record.trials *= FADING
      if (position >= k || position > accepted) continue
      record.trials = Math.min(record.trials + 1, OWN_TRIALS)
      record.rate += ((position < accepted ? 1 : 0) - record.rate) / record.trials
    }
  }
}
