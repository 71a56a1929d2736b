/**
 * Counts the blocks that a request needs in a step. When blocks run short, the request first gives up its proposals, then its
 * drafts; a prefill chunk shrinks to the free slots. Only after that does the scheduler preempt a request.
 */

import { BLOCK_SIZE, slotsNeeded } from '../cost.ts'
import { draftsToPropose, type RequestAllocation, type StepAllocation } from '../schedule/stepAllocation.ts'

/**
 * Reserves blocks for the request's rows and proposals. Rows that do not fit are cut and given back to the step.
 * @param draftLimit drafts to propose at most
 * @returns false when not even one row fits; the step must then be allocated again
 */
export function reserveBlocks(
  step: StepAllocation,
  allocation: RequestAllocation,
  draftLimit: number,
  draftCharge: 0 | 1,
): boolean {
  const wanted = draftsToPropose(allocation, draftLimit)
  if (claim(step, allocation, allocation.n, wanted, draftCharge)) return true
  allocation.shortage = 'blocks'
  if (wanted > 0 && claim(step, allocation, allocation.n, 0, draftCharge)) return true
  if (!allocation.prefill) return allocation.k > 0 && claim(step, allocation, 1, 0, draftCharge)
  const room = (allocation.running.blocks.length + step.freeBlocks) * BLOCK_SIZE - allocation.firstPosition
  return room > 0 && claim(step, allocation, Math.min(room, allocation.n), 0, draftCharge)
}

function claim(step: StepAllocation, allocation: RequestAllocation, n: number, m: number, draftCharge: 0 | 1): boolean {
  const { running, firstPosition } = allocation
  const blocks = running.missingBlocks(slotsNeeded(firstPosition, n, m, running.request.maxTotal))
  if (blocks > step.freeBlocks) return false
  step.rowsLeft += (allocation.n - n) * (allocation.prefill ? 1 : draftCharge)
  step.freeBlocks -= blocks
  allocation.blocks = blocks
  allocation.n = n
  if (!allocation.prefill) allocation.k = n - 1
  allocation.m = m
  return true
}
