/** What one engine step ran against its limit: the row of the step-token chart. Plain data, no behaviour. */

import type { DraftChoice } from './speculation.ts'

/**
 * How a step's rows are charged against `maxNumBatchedTokens`.
 * `exact`: the rows that really run. `reserve`: FastDeploy PR #7438 as merged. `uncharged`: the behaviour before that PR.
 */
export type BudgetPolicy = 'exact' | 'reserve' | 'uncharged'

export const BUDGET_POLICIES: readonly BudgetPolicy[] = ['exact', 'reserve', 'uncharged']

/** Milliseconds of a step by phase. */
export interface StepTimes {
  readonly schedule: number
  readonly encode: number
  readonly wait: number
  readonly update: number
  /** of the step's commands on the GPU: part of `wait`, by another clock; only where the device has one and it can be trusted */
  readonly gpu?: number
  /** what the drafter took of `gpu`, the rest being the target's; there whenever `gpu` is, 0 where it did nothing */
  readonly draft?: number
}

export interface StepRecord {
  readonly step: number
  readonly policy: BudgetPolicy
  /** B, `maxNumBatchedTokens` */
  readonly limit: number
  /** real rows, as encoded */
  readonly baseRows: number
  readonly draftRows: number
  readonly prefillRows: number
  /** rows the policy charged; equals the real rows under `exact` */
  readonly chargedRows: number
  readonly acceptedDrafts: number
  readonly rejectedDrafts: number
  readonly proposedDrafts: number
  readonly committedTokens: number
  readonly cachedTokens: number
  readonly preempted: number
  readonly recomputedTokens: number
  readonly running: number
  readonly waiting: number
  readonly usedBlocks: number
  readonly totalBlocks: number
  /** only where the number of drafts is chosen step by step */
  readonly drafts?: DraftChoice
  readonly ms: StepTimes
}
