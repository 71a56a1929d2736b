/**
 * The budget policies: how many rows a step may give out, and what a draft row is charged. All three run through the same
 * scheduler. `reserve` and `uncharged` miscount on purpose, as FastDeploy did after and before PR #7438, so that the page and
 * the tests can show what happens then: the runner's buffers refuse the plan.
 */

import type { EngineOptions } from '../../protocol/engineOptions.ts'
import type { BudgetPolicy } from '../../protocol/stepRecord.ts'
import { numSpeculativeTokens } from '../cost.ts'

type BudgetOptions = Pick<EngineOptions, 'maxNumBatchedTokens' | 'maxNumSeqs' | 'speculative'>

export interface BudgetRule {
  /** rows that a step may give out, as this rule counts them */
  budget(options: BudgetOptions): number
  /** what a draft row is charged; base and prefill rows are charged 1 */
  readonly draftCharge: 0 | 1
  /** whether the seal refuses more real rows than B */
  readonly holds: boolean
}

/** The rows that really run. */
const exact: BudgetRule = {
  budget: (options) => options.maxNumBatchedTokens,
  draftCharge: 1,
  holds: true,
}

/** FastDeploy PR #7438 as merged: a reserve for every slot, raised to at least min(B, 512), and still 1 per decode. */
const reserve: BudgetRule = {
  budget: (options) => {
    const { maxNumBatchedTokens, maxNumSeqs } = options
    const reserved = maxNumBatchedTokens - maxNumSeqs * (numSpeculativeTokens(options) + 1)
    return Math.max(reserved, Math.min(maxNumBatchedTokens, 512))
  },
  draftCharge: 0,
  holds: false,
}

/** FastDeploy before that PR: 1 per decode, however many rows it runs. */
const uncharged: BudgetRule = {
  budget: (options) => options.maxNumBatchedTokens,
  draftCharge: 0,
  holds: false,
}

export const BUDGET_RULES: Readonly<Record<BudgetPolicy, BudgetRule>> = { exact, reserve, uncharged }
