/**
 * One step while its rows and blocks are handed out: a throw-away object, begun anew when a request is preempted. Nothing is
 * taken from the pool or changed in a request until the step is sealed, so a victim's share is refunded exactly: the step is
 * dealt as if the victim had not been there.
 */

import type { RunningRequest } from './request.ts'
import { committedMin, computedMax } from './request.ts'

/** What one request holds of the step. */
export interface Share {
  readonly running: RunningRequest
  /** rows of known tokens; otherwise a base row and drafts */
  readonly prefill: boolean
  /** position of its first row; of a decoding request the upper bound */
  readonly firstPosition: number
  n: number
  k: number
  m: number
  /** blocks to append to its table */
  blocks: number
}

export class StepAllotment {
  readonly shares: Share[] = []
  /** rows the policy lets the step still hand out */
  rest: number
  /** blocks the step may still take */
  freeBlocks: number
  readonly #budget: number

  constructor(budget: number, freeBlocks: number) {
    this.#budget = budget
    this.rest = budget
    this.freeBlocks = freeBlocks
  }

  /** Rows handed out, by the policy's count. */
  get charged(): number {
    return this.#budget - this.rest
  }

  /** Gives a request `n` rows, each charged 1. */
  deal(running: RunningRequest, prefill: boolean, n: number): Share {
    const share: Share = { running, prefill, firstPosition: computedMax(running), n, k: 0, m: 0, blocks: 0 }
    this.rest -= n
    this.shares.push(share)
    return share
  }
}

/** Whether the share ends at the last known token, so that the next one is sampled. */
export function samples({ prefill, firstPosition, n, running }: Share): boolean {
  return !prefill || firstPosition + n === running.prefillEnd
}

/** Drafts worth proposing for the step after this one: that step needs a base row and a token beyond its drafts. */
export function draftsToPropose(share: Share, limit: number): number {
  if (!samples(share)) return 0
  return Math.max(0, Math.min(limit, share.running.request.maxTotal - committedMin(share.running) - 2))
}
