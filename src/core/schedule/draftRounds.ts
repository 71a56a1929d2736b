/**
 * Draft rows, dealt in rounds: one for every decoding request in turn, then a second, while rows are left. The round starts at
 * another request in every step, so that no request is favoured when rows are short.
 */

import type { Share, StepAllotment } from './stepAllotment.ts'

/**
 * @param shares the decoding requests, each holding its base row
 * @param setAside rows of the rest that drafts may not take
 * @param limit drafts of a request at most; 0 where blocks are too short for any
 * @param draftCharge what the policy charges for a draft row; at 0 nothing limits the drafts but the requests themselves
 */
export function dealDrafts(
  step: StepAllotment,
  shares: readonly Share[],
  setAside: number,
  limit: number,
  draftCharge: 0 | 1,
  stepNumber: number,
): void {
  const turns = shares.length
  for (let round = 1, dealt = turns > 0; dealt; round++) {
    dealt = false
    for (let turn = 0; turn < turns; turn++) {
      const share = shares[(stepNumber + turn) % turns]
      if (!share || share.usableDrafts < round) continue
      const short = round > limit ? 'blocks' : draftCharge > 0 && step.rest <= setAside ? 'rows' : undefined
      share.shortage = short
      if (short) continue
      share.k++
      share.n++
      step.rest -= draftCharge
      dealt = true
    }
  }
}
