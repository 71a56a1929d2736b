/** Recounts a step plan against the planned buffers before anything of it runs: the last check of the token budget. */

import { WeirError } from '../protocol/errors.ts'
import { assert } from '../util/math.ts'
import type { StepGeometry } from './stepGeometry.ts'
import type { StepPlan } from './stepPlan.ts'

/** @throws BUDGET_EXCEEDED with both numbers when the plan holds more rows than the buffers. */
export function checkBudget(plan: StepPlan, geometry: StepGeometry): void {
  const rows = plan.requests.reduce((sum, request) => sum + request.n, 0)
  const sampled = plan.requests.reduce((sum, request) => sum + (request.samples ? request.k + 1 : 0), 0)
  limit(plan.step, 'token rows', rows, geometry.rows, 'maxNumBatchedTokens')
  limit(plan.step, 'sampled rows', sampled, geometry.sampled, 'maxNumBatchedTokens or maxNumSeqs')
  const kvPass = plan.requests.reduce((sum, { n, inKvPass, catchUpTokens }) => {
    return sum + catchUpTokens.length + (inKvPass ? n : 0)
  }, 0)
  limit(plan.step, "rows of the drafter's KV pass", kvPass, geometry.rows, 'maxNumBatchedTokens')
  limit(plan.step, 'requests', plan.requests.length, geometry.seqs, 'maxNumSeqs')
  const counted = rows === plan.rows && sampled === plan.sampledRows && kvPass === plan.kvPassRows
  assert(counted, 'the row counts of a plan match its requests')
}

function limit(step: number, what: string, rows: number, most: number, option: string): void {
  if (rows <= most) return
  throw new WeirError(
    'BUDGET_EXCEEDED',
    `step ${step} has ${rows} ${what}, the buffers hold ${most}: raise ${option}, or set budgetPolicy to "exact"`,
    { step, rows, limit: most },
  )
}
