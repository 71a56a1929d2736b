/**
 * Allocates draft rows round-robin: one to each decoding request, then a second, while rows are left. Each step starts at
 * another request, so that no request is favoured when rows are short.
 */

import type { RequestAllocation, StepAllocation } from './stepAllocation.ts'

/**
 * @param allocations the decoding requests, each holding its base row
 * @param reservedRows rows that drafts must leave over
 * @param limit drafts per request at most; 0 when there are too few blocks for any
 * @param draftCharge what the policy charges for a draft row; at 0 the budget does not limit drafts
 */
export function allocateDrafts(
  step: StepAllocation,
  allocations: readonly RequestAllocation[],
  reservedRows: number,
  limit: number,
  draftCharge: 0 | 1,
  stepNumber: number,
): void {
  const turns = allocations.length
  for (let round = 1, allocated = turns > 0; allocated; round++) {
    allocated = false
    for (let turn = 0; turn < turns; turn++) {
      const allocation = allocations[(stepNumber + turn) % turns]
      if (!allocation || allocation.usableDrafts < round) continue
      const short = round > limit ? 'blocks' : draftCharge > 0 && step.rowsLeft <= reservedRows ? 'rows' : undefined
      allocation.shortage = short
      if (short) continue
      allocation.k++
      allocation.n++
      step.rowsLeft -= draftCharge
      allocated = true
    }
  }
}
