/**
 * Whether a step lacked rows: the question behind "how much of the budget was used when it was wanted". Answered from plan,
 * record and lengths alone, not from what the scheduler says of itself. Where KV blocks, table rows or a limit on prompts may
 * have been what was short, the answer is no.
 */

import { blocksNeeded, numSpeculativeTokens, watermarkBlocks } from '../../../src/core/cost.ts'
import type { PlannedRequest, StepPlan } from '../../../src/core/stepPlan.ts'
import type { EngineOptions } from '../../../src/protocol/engineOptions.ts'
import type { StepRecord } from '../../../src/protocol/stepRecord.ts'

/** What a request could have used, as it stood before the step. */
export interface Demand {
  /** its first block of tokens, equal of requests that begin alike */
  readonly opening: string
  /** committed tokens */
  known: number
  readonly maxTotal: number
  /** drafts that its latest step proposed */
  drafts: number
}

/** @param unfinished requests that had arrived and not ended before the step, by id */
export function lacksRows(
  plan: StepPlan,
  record: StepRecord,
  unfinished: ReadonlyMap<number, Demand>,
  options: EngineOptions,
): boolean {
  // A running request without a row: had it lacked blocks, somebody would have been preempted for it.
  if (record.running > plan.requests.length) return true
  const free = record.totalBlocks - record.usedBlocks
  const waiting = new Map(unfinished)
  const computing = new Set<string>()
  let promised = 0
  let partial = 0
  for (const planned of plan.requests) {
    const demand = unfinished.get(planned.requestId)
    if (!demand) continue
    waiting.delete(planned.requestId)
    if (wasCut(planned, demand, record, free, options)) return true
    if (planned.ids) computing.add(demand.opening)
    if (planned.samples) continue
    partial++
    promised += blocksNeeded(demand.known) - blocksNeeded(planned.firstPosition + planned.n)
  }
  if (record.waiting === 0 || record.preempted > 0) return false
  const { maxNumSeqs, maxNumPartialPrefills, enablePrefixCaching } = options
  const mayBegin =
    record.running < maxNumSeqs &&
    (maxNumPartialPrefills === 0 || partial < maxNumPartialPrefills) &&
    !(enablePrefixCaching && [...waiting.values()].some(({ opening }) => computing.has(opening)))
  const longest = [...waiting.values()].reduce((most, { known }) => Math.max(most, known), 0)
  return mayBegin && blocksNeeded(longest) + promised + watermarkBlocks(options) <= free
}

/** Whether it got fewer rows than it could have used, though there were blocks for all of them. */
function wasCut(
  { ids, n, firstPosition }: PlannedRequest,
  { known, maxTotal, drafts }: Demand,
  { draftRows }: StepRecord,
  free: number,
  options: EngineOptions,
): boolean {
  const threshold = options.longPrefillTokenThreshold || Number.POSITIVE_INFINITY
  const rows = ids ? Math.min(threshold, known - firstPosition) : 1 + Math.min(drafts, maxTotal - known - 1)
  // A step whose blocks run short drops the drafts of all.
  if (n >= rows || (!ids && draftRows === 0)) return false
  const slots = Math.min(firstPosition + rows + numSpeculativeTokens(options), maxTotal)
  return blocksNeeded(slots) - blocksNeeded(firstPosition + n) <= free
}
