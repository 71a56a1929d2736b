/**
 * The blocks of a share. When they run short the request first gives up what only speeds it up: proposals, then drafts; then a
 * chunk shrinks to the slots there are. Only then is anybody preempted, which is the scheduler's business.
 */

import { BLOCK_SIZE, slotsNeeded } from '../cost.ts'
import { draftsToPropose, type Share, type StepAllotment } from '../schedule/stepAllotment.ts'

/**
 * Claims blocks for the share's rows and proposals, cutting them down to what fits and refunding the rows.
 * @param draftLimit drafts to propose at most
 * @returns false when not even one row fits; the step must then be dealt anew
 */
export function claimBlocks(step: StepAllotment, share: Share, draftLimit: number, draftCharge: 0 | 1): boolean {
  const wanted = draftsToPropose(share, draftLimit)
  if (claim(step, share, share.n, wanted, draftCharge)) return true
  share.shortage = 'blocks'
  if (wanted > 0 && claim(step, share, share.n, 0, draftCharge)) return true
  if (!share.prefill) return share.k > 0 && claim(step, share, 1, 0, draftCharge)
  const room = (share.running.blocks.length + step.freeBlocks) * BLOCK_SIZE - share.firstPosition
  return room > 0 && claim(step, share, Math.min(room, share.n), 0, draftCharge)
}

function claim(step: StepAllotment, share: Share, n: number, m: number, draftCharge: 0 | 1): boolean {
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
