/**
 * The last check of a step before it leaves the core: all rows are counted again from the allocations alone, and a miscount is
 * an error in that step. Nothing is clamped. Under `reserve` and `uncharged` only the charge is checked, so that a plan with
 * too many rows reaches the runner, whose buffers refuse it.
 */

import type { EngineOptions } from '../../protocol/engineOptions.ts'
import { WeirError } from '../../protocol/errors.ts'
import { kvPassRows, maxSampledRows, sampledRows, targetRows } from '../cost.ts'
import type { BudgetRule } from './budgetPolicy.ts'
import type { RowTotals } from './schedulerOutput.ts'
import { type StepAllocation, samples } from './stepAllocation.ts'

type SealOptions = Pick<EngineOptions, 'maxNumBatchedTokens' | 'maxNumSeqs' | 'speculative' | 'budgetPolicy'>

/** @throws BUDGET_EXCEEDED */
export function seal(
  stepNumber: number,
  step: Pick<StepAllocation, 'allocations' | 'charged'>,
  rule: BudgetRule,
  options: SealOptions,
): RowTotals {
  const { allocations, charged } = step
  let prefill = 0
  let draft = 0
  for (const allocation of allocations) {
    allocation.samples = samples(allocation)
    draft += allocation.k
    if (allocation.prefill) prefill += allocation.n
  }
  const rows = targetRows(allocations)
  const base = rows - draft - prefill
  const sampled = sampledRows(allocations)
  const { maxNumBatchedTokens, budgetPolicy } = options
  const budget = rule.budget(options)
  const due = base + prefill + draft * rule.draftCharge
  if (charged !== due || charged > budget) {
    throw new WeirError(
      'BUDGET_EXCEEDED',
      `step ${stepNumber}: ${charged} rows were charged, ${due} are due under budgetPolicy "${budgetPolicy}", its budget is ${budget}`,
      { step: stepNumber, charged, due, budget },
    )
  }
  if (rule.holds && rows > maxNumBatchedTokens) {
    throw new WeirError(
      'BUDGET_EXCEEDED',
      `step ${stepNumber}: ${rows} rows exceed maxNumBatchedTokens ${maxNumBatchedTokens}`,
      { step: stepNumber, rows, limit: maxNumBatchedTokens },
    )
  }
  if (rule.holds && sampled > maxSampledRows(options)) {
    throw new WeirError(
      'BUDGET_EXCEEDED',
      `step ${stepNumber}: ${sampled} sampled rows exceed ${maxSampledRows(options)} (maxNumBatchedTokens, maxNumSeqs, speculative)`,
      { step: stepNumber, rows: sampled, limit: maxSampledRows(options) },
    )
  }
  const kvPass = kvPassRows(allocations)
  if (rule.holds && kvPass > maxNumBatchedTokens) {
    throw new WeirError(
      'BUDGET_EXCEEDED',
      `step ${stepNumber}: ${kvPass} rows of the drafter's KV pass exceed maxNumBatchedTokens ${maxNumBatchedTokens}`,
      { step: stepNumber, rows: kvPass, limit: maxNumBatchedTokens },
    )
  }
  return { base, draft, prefill, sampled, kvPass, charged }
}
