/** A step's record from what was scheduled and what came back. */

import type { SchedulerOutput } from '../core/schedule/schedulerOutput.ts'
import type { EngineOptions } from '../protocol/engineOptions.ts'
import type { StepRecord, StepTimes } from '../protocol/stepRecord.ts'

/** Sums over a step's answers. */
export interface StepResults {
  accepted: number
  rejected: number
  proposed: number
  committed: number
}

export function buildStepRecord(
  options: EngineOptions,
  scheduled: SchedulerOutput,
  results: StepResults,
  totalBlocks: number,
  ms: StepTimes,
): StepRecord {
  const { rows, drafts } = scheduled
  return {
    step: scheduled.step,
    policy: options.budgetPolicy,
    limit: options.maxNumBatchedTokens,
    baseRows: rows.base,
    draftRows: rows.draft,
    prefillRows: rows.prefill,
    chargedRows: rows.charged,
    acceptedDrafts: results.accepted,
    rejectedDrafts: results.rejected,
    proposedDrafts: results.proposed,
    committedTokens: results.committed,
    cachedTokens: scheduled.cachedTokens,
    preempted: scheduled.preempted.length,
    recomputedTokens: scheduled.recomputedTokens,
    running: scheduled.running,
    waiting: scheduled.waiting,
    usedBlocks: scheduled.usedBlocks,
    totalBlocks,
    ...(drafts.reason !== 'fixed' && { drafts: { k: drafts.k, reason: drafts.reason } }),
    ms,
  }
}
