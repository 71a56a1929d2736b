/**
 * One step while its rows and blocks are handed out: a throw-away object, begun anew when a request is preempted. Nothing is
 * taken from the pool or changed in a request until the step is sealed, so a victim's share is refunded exactly: the step is
 * dealt as if the victim had not been there.
 */

import type { RunningRequest } from '../request.ts'
import type { ScheduledRequest, Shortage } from './schedulerOutput.ts'

const NO_BLOCKS: readonly number[] = []

/** What one request holds of the step. Written while the step is dealt and sealed, read-only to everybody after. */
export class Share implements ScheduledRequest {
  readonly running: RunningRequest
  readonly prefill: boolean
  readonly admitted: boolean
  readonly firstPosition: number
  /** drafts it could verify */
  readonly usableDrafts: number
  n: number
  k = 0
  m = 0
  samples = false
  catchUp = 0
  catchUpFrom = 0
  follows = false
  shortage: Shortage | undefined = undefined
  /** blocks to append to its table */
  blocks = 0
  firstBlock = 0
  newBlocks = NO_BLOCKS

  constructor(running: RunningRequest, n: number, prefill: boolean, admitted: boolean, usableDrafts = 0) {
    this.running = running
    this.prefill = prefill
    this.admitted = admitted
    this.firstPosition = running.computedMax
    this.usableDrafts = usableDrafts
    this.n = n
  }
}

export class StepAllotment {
  readonly shares: Share[] = []
  /** rows the policy lets the step still hand out */
  rest: number
  /** blocks the step may still take */
  freeBlocks: number
  /** blocks that prompts under way still need after this step for the tokens they know */
  promisedBlocks = 0
  /** requests whose prompts are unfinished after this step */
  partialPrefills = 0
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
  deal(share: Share): Share {
    this.rest -= share.n
    this.shares.push(share)
    return share
  }

  /** Counts what a running prefill leaves for later steps, `share` being its part of this one. */
  promise(running: RunningRequest, share: Share | undefined): void {
    if (running.prefillRemaining === (share?.n ?? 0)) return
    this.partialPrefills++
    this.promisedBlocks += Math.max(0, running.missingBlocks(running.prefillEnd) - (share?.blocks ?? 0))
  }
}

/** Whether the share ends at the last known token, so that the next one is sampled. */
export function samples({ prefill, firstPosition, n, running }: Share): boolean {
  return !prefill || firstPosition + n === running.prefillEnd
}

/** Drafts worth proposing for the step after this one: that step needs a base row and a token beyond its drafts. */
export function draftsToPropose(share: Share, limit: number): number {
  if (!samples(share)) return 0
  return Math.min(limit, share.running.draftsOfUse)
}
