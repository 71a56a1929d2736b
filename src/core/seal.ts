/**
 * The last word on a step before it leaves the core: everything is counted again from the shares alone, and a miscount is an
 * error in that very step. Nothing is clamped. Under `reserve` and `uncharged` only the charge is checked, so that a plan with
 * too many rows reaches the runner, whose buffers refuse it.
 */

import type { EngineOptions } from '../protocol/engineOptions.ts'
import { WeirError } from '../protocol/errors.ts'
import type { BudgetRule } from './budgetPolicy.ts'
import { maxSampledRows, type RowCounts, sampledRows, targetRows } from './cost.ts'
import type { RowTotals } from './schedulerOutput.ts'

type SealOptions = Pick<EngineOptions, 'maxNumBatchedTokens' | 'maxNumSeqs' | 'speculative' | 'budgetPolicy'>

/**
 * @param charged rows handed out, as counted while dealing
 * @throws BUDGET_EXCEEDED
 */
export function seal(
  step: number,
  requests: readonly (RowCounts & { readonly prefill: boolean })[],
  charged: number,
  rule: BudgetRule,
  options: SealOptions,
): RowTotals {
  const rows = targetRows(requests)
  const prefill = targetRows(requests.filter((request) => request.prefill))
  const draft = requests.reduce((sum, { k }) => sum + k, 0)
  const base = rows - draft - prefill
  const sampled = sampledRows(requests)
  const { maxNumBatchedTokens, budgetPolicy } = options
  const budget = rule.budget(options)
  const due = base + prefill + draft * rule.draftCharge
  if (charged !== due || charged > budget) {
    throw new WeirError(
      'BUDGET_EXCEEDED',
      `step ${step}: ${charged} rows were charged, ${due} are due under budgetPolicy "${budgetPolicy}", its budget is ${budget}`,
      { step, charged, due, budget },
    )
  }
  if (rule.holds && rows > maxNumBatchedTokens) {
    throw new WeirError(
      'BUDGET_EXCEEDED',
      `step ${step}: ${rows} rows exceed maxNumBatchedTokens ${maxNumBatchedTokens}`,
      { step, rows, limit: maxNumBatchedTokens },
    )
  }
  if (rule.holds && sampled > maxSampledRows(options)) {
    throw new WeirError(
      'BUDGET_EXCEEDED',
      `step ${step}: ${sampled} sampled rows exceed ${maxSampledRows(options)} (maxNumBatchedTokens, maxNumSeqs, speculative)`,
      { step, rows: sampled, limit: maxSampledRows(options) },
    )
  }
  return { base, draft, prefill, sampled, charged }
}
