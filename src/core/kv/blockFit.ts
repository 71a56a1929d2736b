/**
 * The blocks of a request's rows in a step. When blocks are short the request first gives up proposals, then drafts; then a chunk
 * shrinks to the slots there are. Preemption, which comes after that, is the scheduler's business.
 */

import { BLOCK_SIZE, slotsNeeded } from '../cost.ts'
import { draftsToPropose, type Share, type StepAllocation } from '../schedule/stepAllocation.ts'

/**
 * Claims blocks for the rows and proposals of a request, cuts them down to what fits, and gives the rows back.
 * @param draftLimit drafts to propose at most
 * @returns false when not even one row fits; the step must then be planned again
 */
export function claimBlocks(step: StepAllocation, share: Share, draftLimit: number, draftCharge: 0 | 1): boolean {
  const wanted = draftsToPropose(share, draftLimit)
  if (claim(step, share, share.n, wanted, draftCharge)) return true
  share.shortage = 'blocks'
  if (wanted > 0 && claim(step, share, share.n, 0, draftCharge)) return true
  if (!share.prefill) return share.k > 0 && claim(step, share, 1, 0, draftCharge)
  const room = (share.running.blocks.length + step.freeBlocks) * BLOCK_SIZE - share.firstPosition
  return room > 0 && claim(step, share, Math.min(room, share.n), 0, draftCharge)
}

function claim(step: StepAllocation, share: Share, n: number, m: number, draftCharge: 0 | 1): boolean {
  const { running, firstPosition } = share
  const blocks = running.missingBlocks(slotsNeeded(firstPosition, n, m, running.request.maxTotal))
  if (blocks > step.freeBlocks) return false
  step.rest += (share.n - n) * (share.prefill ? 1 : draftCharge)
  step.freeBlocks -= blocks
  share.blocks = blocks
  share.n = n
  if (!share.prefill) share.k = n - 1
  share.m = m
  return true
}
