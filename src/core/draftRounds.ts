/**
 * Draft rows, dealt in rounds: one for every decoding request in turn, then a second, while rows are left. The round starts at
 * another request in every step, so that no request is favoured when rows are short.
 */

import type { RunningRequest } from './request.ts'
import { committedMax } from './request.ts'
import type { Share, StepAllotment } from './stepAllotment.ts'

/**
 * @param shares the decoding requests, each holding its base row
 * @param setAside rows of the rest that drafts may not take
 * @param draftCharge what the policy charges for a draft row; at 0 nothing limits the drafts but the requests themselves
 */
export function dealDrafts(
  step: StepAllotment,
  shares: readonly Share[],
  setAside: number,
  draftCharge: 0 | 1,
  stepNumber: number,
): void {
  const start = shares.length > 0 ? stepNumber % shares.length : 0
  const turns = [...shares.slice(start), ...shares.slice(0, start)]
  const rowsLeft = () => draftCharge === 0 || step.rest > setAside
  for (let dealt = true; dealt; ) {
    dealt = false
    for (const share of turns) {
      if (share.k >= usableDrafts(share.running) || !rowsLeft()) continue
      share.k++
      share.n++
      step.rest -= draftCharge
      dealt = true
    }
  }
}

/** The drafts its latest step proposed, trimmed by remaining output: after k drafts there is still a token to sample. */
function usableDrafts(running: RunningRequest): number {
  return Math.max(0, Math.min(running.drafts, running.request.maxTotal - committedMax(running) - 1))
}
