/**
 * How likely a draft is right, by its position in the run of drafts, given that those before it were: of everybody, and of one
 * request as far as its own record says. It must never know times.
 */

import { at } from '../../util/math.ts'

/** Assumed of the first position before anything was verified. Optimistic: being wrong costs a few steps, and teaches. */
const FIRST_GUESS = 0.7

/** Trials that the guess for a position counts for: the first drafts verified there outweigh it soon. */
const GUESS_TRIALS = 4

/** The shared record remembers as many trials, or as many steps, whichever is longer: large batches must not make it nervous. */
const SHARED_TRIALS = 64
const SHARED_STEPS = 32

/** A request's own record remembers so many trials, and is mixed with as many of the shared record's as here. */
const OWN_TRIALS = 64
const SHARED_SHARE = 16

/** What is left of a request's own record at a position after a step that did not try it: nobody is written off for ever. */
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
  readonly #positions: number
  readonly #shared: Rate[] // [numSpeculativeTokens]
  /** by request id; [numSpeculativeTokens] */
  readonly #own = new Map<number, Rate[]>()

  constructor(numSpeculativeTokens: number) {
    this.#positions = numSpeculativeTokens
    this.#shared = untried(numSpeculativeTokens)
  }

  /** Takes what one step verified. */
  observe(requests: readonly VerifiedDrafts[]): void {
    for (let position = 0; position < this.#positions; position++) {
      let trials = 0
      let right = 0
      for (const { k, accepted } of requests) {
        if (position >= k || position > accepted) continue
        trials++
        if (position < accepted) right++
      }
      if (trials > 0) this.#observeShared(position, right, trials)
    }
    for (const request of requests) this.#observeOwn(request)
  }

  /** Drops the record of a request that ended. */
  forget(id: number): void {
    this.#own.delete(id)
  }

  /**
   * The chances that the drafts 1…`length` of a request are accepted, each with all before it: never rising. Positions that were
   * not tried yet are taken to be as good as the one before.
   */
  chances(id: number, length: number): number[] {
    const own = this.#own.get(id)
    const chances: number[] = []
    let chance = 1
    for (let position = 0; position < length; position++) {
      const shared = this.#rate(position)
      const { rate, trials } = own ? at(own, position) : { rate: 0, trials: 0 }
      chance *= (rate * trials + shared * SHARED_SHARE) / (trials + SHARED_SHARE)
      chances.push(chance)
    }
    return chances
  }

  #observeShared(position: number, right: number, trials: number): void {
    const record = at(this.#shared, position)
    if (record.trials === 0) {
      record.rate = this.#rate(position)
      record.trials = GUESS_TRIALS
    }
    mix(record, right, trials, Math.max(SHARED_TRIALS, SHARED_STEPS * trials))
  }

  #observeOwn({ id, k, accepted }: VerifiedDrafts): void {
    let own = this.#own.get(id)
    if (!own) {
      if (k === 0) return
      own = untried(this.#positions)
      this.#own.set(id, own)
    }
    own.forEach((record, position) => {
      if (position < k && position <= accepted) mix(record, position < accepted ? 1 : 0, 1, OWN_TRIALS)
      else record.trials *= FADING
    })
  }

  /** The shared rate at a position. */
  #rate(position: number): number {
    for (let tried = position; tried >= 0; tried--) {
      const { rate, trials } = at(this.#shared, tried)
      if (trials > 0) return rate
    }
    return FIRST_GUESS
  }
}

function untried(positions: number): Rate[] {
  return Array.from({ length: positions }, () => ({ rate: 0, trials: 0 }))
}

/** A plain mean until the window is full, then old trials fade. */
function mix(record: Rate, right: number, trials: number, window: number): void {
  record.trials = Math.min(record.trials + trials, window)
  record.rate += (trials / record.trials) * (right / trials - record.rate)
}
