/**
 * Gives out draft rows in rounds: one for every decoding request in turn, then a second, while rows are left. In every step the
 * rounds start at another request, so that no request is favoured when rows are short.
 */

import type { Share, StepAllocation } from './stepAllocation.ts'

/**
 * @param shares the decoding requests, each holding its base row
 * @param setAside rows of the rest that drafts may not take
 * @param limit drafts of a request at most; 0 where blocks are too short for any
 * @param draftCharge what the policy charges for a draft row; at 0 nothing limits the drafts but the requests themselves
 */
export function allocateDrafts(
  step: StepAllocation,
  shares: readonly Share[],
  setAside: number,
  limit: number,
  draftCharge: 0 | 1,
  stepNumber: number,
): void {
  const turns = shares.length
  for (let round = 1, given = turns > 0; given; round++) {
    given = false
    for (let turn = 0; turn < turns; turn++) {
      const share = shares[(stepNumber + turn) % turns]
      if (!share || share.usableDrafts < round) continue
      const short = round > limit ? 'blocks' : draftCharge > 0 && step.rest <= setAside ? 'rows' : undefined
      share.shortage = short
      if (short) continue
      share.k++
      share.n++
      step.rest -= draftCharge
      given = true
    }
  }
}
