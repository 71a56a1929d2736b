/** What the scheduler decided for one step: plain data, read by the plan builder and by the engine's update. */

import type { Request, RunningRequest } from '../request.ts'
import type { DraftDecision } from '../speculation/draftPolicy.ts'
import type { Verification } from '../stepPlan.ts'

/** Why a request got fewer rows than it could have used: the step's rows, KV blocks, or `longPrefillTokenThreshold`. */
export type Shortage = 'rows' | 'blocks' | 'threshold'

/**
 * Why the first waiting request was not admitted: no row or table row left, not enough KV blocks, `maxNumPartialPrefills`,
 * another request is computing the same prefix, or a request was preempted in this step.
 */
export type WaitReason = 'rows' | 'slots' | 'blocks' | 'partialPrefills' | 'sharedPrefix' | 'preemption'

export interface Victim {
  readonly request: Request
  /** computed tokens, without those in blocks that other requests hold too */
  readonly tokensToRecompute: number
  /** blocks that no other request held */
  readonly freedBlocks: number
}

export interface ScheduledRequest {
  readonly running: RunningRequest
  /** rows of known tokens; otherwise a base row and k drafts */
  readonly prefill: boolean
  /** admitted in this step: its table row is to be filled */
  readonly admitted: boolean
  readonly firstPosition: number
  readonly n: number
  readonly k: number
  readonly m: number
  readonly samples: boolean
  /** rows of earlier steps in the drafter's KV pass */
  readonly catchUp: number
  /** position of the first of them */
  readonly catchUpFrom: number
  /** whether the request's rows of this step are in the drafter's KV pass */
  readonly inKvPass: boolean
  /** undefined: it got all it could use */
  readonly shortage: Shortage | undefined
  /** index in its block table of the first new block */
  readonly firstBlock: number
  /** blocks appended to its table */
  readonly newBlocks: readonly number[]
}

/** Rows of a step, as the seal recounted them. */
export interface RowTotals {
  readonly base: number
  readonly draft: number
  readonly prefill: number
  readonly sampled: number
  /** of the drafter's KV pass */
  readonly kvPass: number
  /** by the policy's rule; base + draft + prefill under `exact` */
  readonly charged: number
}

/** Drafts of a request at most, why, and what that was weighed by. */
export interface DecidedDrafts extends Omit<DraftDecision, 'fewer' | 'runKvPass'> {
  readonly verification: Verification | undefined
}

export interface SchedulerOutput {
  /** counts from 1 */
  readonly step: number
  readonly requests: readonly ScheduledRequest[]
  readonly rows: RowTotals
  /** drafts as they were decided for this step */
  readonly drafts: DecidedDrafts
  /** in the order they were chosen; they are in the waiting queue again */
  readonly preempted: readonly Victim[]
  /** the first request that waits after this step, and why; undefined when none waits */
  readonly firstWaiting: { readonly request: Request; readonly reason: WaitReason } | undefined
  /** tokens that admitted requests found in the prefix cache */
  readonly cachedTokens: number
  /** prefill rows of tokens that a preemption had thrown away */
  readonly recomputedTokens: number
  readonly running: number
  readonly waiting: number
  readonly usedBlocks: number
}
