/**
 * The blocks of a share. When they run short the request first gives up what only speeds it up: proposals, then drafts; then a
 * chunk shrinks to the slots there are. Only then is anybody preempted, which is the scheduler's business.
 */

import { slotsNeeded } from './cost.ts'
import type { KvCacheManager } from './kvCacheManager.ts'
import { draftsToPropose, type Share, type StepAllotment } from './stepAllotment.ts'

/**
 * Claims blocks for the share's rows and proposals, cutting them down to what fits and refunding the rows.
 * @param draftLimit drafts to propose at most
 * @returns false when not even one row fits; the step must then be dealt anew
 */
export function claimBlocks(
  step: StepAllotment,
  share: Share,
  kv: KvCacheManager,
  draftLimit: number,
  draftCharge: 0 | 1,
): boolean {
  const wanted = draftsToPropose(share, draftLimit)
  if (claim(step, share, kv, share.n, wanted, draftCharge)) return true
  share.shortage = 'blocks'
  if (wanted > 0 && claim(step, share, kv, share.n, 0, draftCharge)) return true
  if (!share.prefill) return share.k > 0 && claim(step, share, kv, 1, 0, draftCharge)
  const room = kv.capacity(share.running.request.id, step.freeBlocks) - share.firstPosition
  return room > 0 && claim(step, share, kv, Math.min(room, share.n), 0, draftCharge)
}

function claim(
  step: StepAllotment,
  share: Share,
  kv: KvCacheManager,
  n: number,
  m: number,
  draftCharge: 0 | 1,
): boolean {
  const { id, maxTotal } = share.running.request
  const blocks = kv.missing(id, slotsNeeded(share.firstPosition, n, m, maxTotal))
  if (blocks > step.freeBlocks) return false
  step.rest += (share.n - n) * (share.prefill ? 1 : draftCharge)
  step.freeBlocks -= blocks
  share.blocks = blocks
  share.n = n
  if (!share.prefill) share.k = n - 1
  share.m = m
  return true
}
