/**
 * When a number of drafts that is not in use is probed: for a few steps, the less often the more probes found nothing
 * (exponential back-off), and at a small part of the tokens committed meanwhile. It must never know acceptance rates or times.
 */

import { at } from '../../util/math.ts'
import type { GoodputEstimate } from './goodput.ts'

const PROBE_STEPS = 4
/** Steps without a k before it is probed: at first, and at most after probes that found nothing. */
const MIN_WAIT = 16
const MAX_WAIT = 256
/** The part of the tokens committed since a k was in use that its probe may cost. */
const COST_SHARE = 0.003
/** Steps that a probe waits until the drafter has caught up for every request: rows may be too short for that. */
const MAX_CATCH_UP_STEPS = 64

export interface Probe {
  readonly k: number
  /** requests that get fewer, as they were chosen when it began: the others are what it measures */
  readonly fewer: ReadonlyMap<number, number>
  stepsLeft: number
  catchUpStepsLeft: number
}

export class ProbeSchedule {
  current: Probe | undefined
  /** by k: steps without it in which it could have been probed, and how many it waits for */
  readonly #unused: { age: number; wait: number }[]
  /** whether any k above the one in use would be better if all its drafts were accepted */
  hopeful = false

  constructor(numSpeculativeTokens: number) {
    this.#unused = Array.from({ length: numSpeculativeTokens + 1 }, () => ({ age: 0, wait: MIN_WAIT }))
  }

  /** Another k is in use from now on. */
  reset(): void {
    this.current = undefined
    for (const unused of this.#unused) Object.assign(unused, { age: 0, wait: MIN_WAIT })
  }

  /**
   * Takes a step without prompts, and begins a probe if one is due.
   * @param estimates [k that may be tried]
   * @param held the k in use
   * @param decoding requests
   * @param catchUpMs until the requests of an estimate can draft
   */
  advance(
    estimates: readonly GoodputEstimate[],
    held: number,
    decoding: number,
    catchUpMs: (estimate: GoodputEstimate) => number,
  ): void {
    const { goodput, tokens } = at(estimates, held)
    this.hopeful = false
    for (const [k, estimate] of estimates.entries()) {
      const { ms, unconfirmed, draftRows, tokens: expected, fewer } = estimate
      const unused = at(this.#unused, k)
      if (k === held) unused.age = 0
      // More drafts that would lose even if all were accepted are never probed.
      const loses = k > held && decoding + draftRows <= goodput * ms && !unconfirmed
      if (k === held || loses) continue
      this.hopeful ||= k > held
      unused.age++
      if (this.current || unused.age < unused.wait) continue
      const cost = goodput * catchUpMs(estimate) + PROBE_STEPS * Math.max(0, goodput * ms - expected)
      // The next k is probed in the end whatever it costs, so that drafts come back after acceptance has risen.
      const overdue = k === held + 1 && unused.age >= 2 * MAX_WAIT
      if (!overdue && !unconfirmed && cost > COST_SHARE * unused.age * tokens) continue
      this.current = { k, fewer, stepsLeft: PROBE_STEPS, catchUpStepsLeft: MAX_CATCH_UP_STEPS }
    }
  }

  /** A step of the current probe runs. */
  take(probe: Probe): void {
    if (--probe.stepsLeft > 0) return
    const { wait } = at(this.#unused, probe.k)
    this.#unused[probe.k] = { age: 0, wait: Math.min(2 * wait, MAX_WAIT) }
    this.current = undefined
  }
}
