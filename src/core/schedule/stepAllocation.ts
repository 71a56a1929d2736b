/**
 * A step while its rows and blocks are given out: a throw-away object, made anew when a request is preempted. Nothing is taken from
 * the pool or changed in a request until the step is sealed, so what a preempted request held in the step is given back exactly.
 */

import type { RunningRequest } from '../request.ts'
import type { ScheduledRequest, Shortage } from './schedulerOutput.ts'

const NO_BLOCKS: readonly number[] = []

/** The rows and blocks of one request in a step: a ScheduledRequest that is still being written, until the step is sealed. */
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

export class StepAllocation {
  readonly shares: Share[] = []
  /** rows that the policy still lets the step give out */
  rest: number
  /** blocks the step may still take */
  freeBlocks: number
  /** blocks that running prompts still need after this step for their known tokens */
  promisedBlocks = 0
  /** requests whose prompts are unfinished after this step */
  partialPrefills = 0
  readonly #budget: number

  constructor(budget: number, freeBlocks: number) {
    this.#budget = budget
    this.rest = budget
    this.freeBlocks = freeBlocks
  }

  /** Rows given out, as the policy charges them. */
  get charged(): number {
    return this.#budget - this.rest
  }

  /** Adds a request with `n` rows, each charged 1. */
  add(share: Share): Share {
    this.rest -= share.n
    this.shares.push(share)
    return share
  }

  /** Counts what a running prompt still needs in later steps. @param share its part of this one */
  promise(running: RunningRequest, share: Share | undefined): void {
    if (running.prefillRemaining === (share?.n ?? 0)) return
    this.partialPrefills++
    this.promisedBlocks += Math.max(0, running.missingBlocks(running.prefillEnd) - (share?.blocks ?? 0))
  }
}

/** Whether the last row is that of the last known token, so that the next token is sampled. */
export function samples({ prefill, firstPosition, n, running }: Share): boolean {
  return !prefill || firstPosition + n === running.prefillEnd
}

/** Drafts that the next step can verify: it also needs a base row and a token after the drafts. */
export function draftsToPropose(share: Share, limit: number): number {
  if (!samples(share)) return 0
  return Math.min(limit, share.running.draftsOfUse)
}
