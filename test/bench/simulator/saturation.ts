/**
 * Whether a step was saturated: whether a request could have used more rows than it got. Derived from the plan, the record and
 * the requests' lengths alone, not from what the scheduler reports about itself. Where KV blocks, maxNumSeqs or
 * maxNumPartialPrefills may have been the limit instead, the answer is no.
 */

import { blocksNeeded, numSpeculativeTokens, watermarkBlocks } from '../../../src/core/cost.ts'
import type { PlannedRequest, StepPlan } from '../../../src/core/stepPlan.ts'
import type { EngineOptions } from '../../../src/protocol/engineOptions.ts'
import type { StepRecord } from '../../../src/protocol/stepRecord.ts'

/** The state of a request before the step, from which the rows it could use follow. */
export interface Demand {
  /** the first block of its prompt: requests with the same one may share a prefix */
  readonly opening: string
  /** committed tokens */
  known: number
  readonly maxTotal: number
  /** drafts proposed in its latest step */
  drafts: number
}

/** @param unfinished by id: requests that had arrived, and had not finished before the step */
export function lacksRows(
  plan: StepPlan,
  record: StepRecord,
  unfinished: ReadonlyMap<number, Demand>,
  options: EngineOptions,
): boolean {
  // A running request got no row. The cause is not blocks, for which the scheduler would have preempted a request.
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

/** Whether the request got fewer rows than it could have used, although there were enough free blocks. */
function wasCut(
  { ids, n, firstPosition }: PlannedRequest,
  { known, maxTotal, drafts }: Demand,
  { draftRows }: StepRecord,
  free: number,
  options: EngineOptions,
): boolean {
  const threshold = options.longPrefillTokenThreshold || Number.POSITIVE_INFINITY
  const rows = ids ? Math.min(threshold, known - firstPosition) : 1 + Math.min(drafts, maxTotal - known - 1)
  // A step that is short of blocks drops the drafts of all requests.
  if (n >= rows || (!ids && draftRows === 0)) return false
  const slots = Math.min(firstPosition + rows + numSpeculativeTokens(options), maxTotal)
  return blocksNeeded(slots) - blocksNeeded(firstPosition + n) <= free
}
