/**
 * The rows and blocks allocated in one step. The object is discarded when a request is preempted, and the allocation starts
 * again. Until the step is sealed no block is taken from the pool and no request changes, so nothing of a preempted request has
 * to be given back.
 */

import type { RunningRequest } from '../request.ts'
import type { ScheduledRequest, Shortage } from './schedulerOutput.ts'

const NO_BLOCKS: readonly number[] = []

/** The scheduler's mutable form of `ScheduledRequest`: written until the step is sealed, read-only afterwards. */
export class RequestAllocation implements ScheduledRequest {
  readonly running: RunningRequest
  readonly prefill: boolean
  readonly admitted: boolean
  readonly firstPosition: number
  /** drafts that the request could verify in this step */
  readonly usableDrafts: number
  n: number
  k = 0
  m = 0
  samples = false
  catchUp = 0
  catchUpFrom = 0
  inKvPass = false
  shortage: Shortage | undefined = undefined
  /** blocks to append to the request's block table */
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
  readonly allocations: RequestAllocation[] = []
  /** rows that the budget still allows, as the policy counts them */
  rowsLeft: number
  /** free blocks that the step has not allocated */
  freeBlocks: number
  /** blocks that unfinished prefills need after this step for the rest of their known tokens */
  pendingPrefillBlocks = 0
  /** requests whose prefill is unfinished after this step */
  partialPrefills = 0
  readonly #budget: number

  constructor(budget: number, freeBlocks: number) {
    this.#budget = budget
    this.rowsLeft = budget
    this.freeBlocks = freeBlocks
  }

  /** Rows allocated, as the policy counts them. */
  get charged(): number {
    return this.#budget - this.rowsLeft
  }

  /** Adds a request with its `n` rows, each charged 1. */
  add(allocation: RequestAllocation): RequestAllocation {
    this.rowsLeft -= allocation.n
    this.allocations.push(allocation)
    return allocation
  }

  /** Counts the blocks that a running prefill needs after this step, in which it has `allocation`. */
  countPartialPrefill(running: RunningRequest, allocation: RequestAllocation | undefined): void {
    if (running.prefillRemaining === (allocation?.n ?? 0)) return
    this.partialPrefills++
    this.pendingPrefillBlocks += Math.max(0, running.missingBlocks(running.prefillEnd) - (allocation?.blocks ?? 0))
  }
}

/** Whether the request's last row is at its last known token, so that the next token is sampled. */
export function samples({ prefill, firstPosition, n, running }: RequestAllocation): boolean {
  return !prefill || firstPosition + n === running.prefillEnd
}

/** Drafts to propose at the end of this step: no more than the next step could verify before the length limit. */
export function draftsToPropose(allocation: RequestAllocation, limit: number): number {
  if (!samples(allocation)) return 0
  return Math.min(limit, allocation.running.maxUsefulDrafts)
}
