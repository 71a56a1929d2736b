/**
 * The lines of a trace, written: JSON Lines, each line one call that the engine made to its scheduler, with what came of it.
 *
 *     {"weirTrace":3,"vocabSize":…,"options":{…}}
 *     ["add",id,maxTotal,priority,cacheSalt|null,most drafts|null,{sampling},[prompt ids]]
 *     ["end",id,why]                               why: a finish reason or an error code
 *     ["reset"]                                    every cached prefix was forgotten
 *     ["plan",step,digest of the plan,[base,draft,prefill,sampled,charged rows],drafts,
 *       [running,waiting,used blocks,cached tokens,recomputed tokens],[shares],[victims],first waiting|null]
 *     ["rows",outcomes…]                           in the order of the shares; a step may have several such lines
 *     ["step",proposed,committed,[ms: schedule,encode,wait,update,(gpu,draft)?]]   the step has ended
 *     ["fatal",code,message,details]               the engine has ended; nothing follows
 *     {"lines":…}                                  the lines before it
 *
 * What `sampling` holds is said in traceSampling.ts.
 * `drafts` is [drafts at most,why], with a third value where goodput was estimated: [expected tokens per millisecond by number of
 * drafts], rounded; the decision was made from unrounded ones.
 * A share is [id,k,m,first position] or [id,k,m,first position,shortage] of a decoding request, an object of a prompt.
 * A victim is [id,lost tokens,freed blocks], the first waiting request is [id,reason]. An outcome is the ids that were committed; an object where
 * their number does not tell how many drafts were accepted, without ids where the request had ended or its logits were not finite.
 */

import type { RequestSpec } from '../../core/request.ts'
import type { DecidedDrafts, ScheduledRequest, SchedulerOutput } from '../../core/schedule/schedulerOutput.ts'
import type { StepPlan } from '../../core/stepPlan.ts'
import type { EngineOptions } from '../../protocol/engineOptions.ts'
import type { ErrorCode, ErrorData } from '../../protocol/errors.ts'
import type { FinishReason } from '../../protocol/request.ts'
import type { StepTimes } from '../../protocol/stepRecord.ts'
import { planDigest } from './traceDigest.ts'
import { samplingRecord } from './traceSampling.ts'

export const TRACE_VERSION = 3

const SIGNIFICANT_DIGITS = 4

/** Why a request ended. */
export type EndReason = FinishReason | ErrorCode

/** What came of a request's rows. */
export interface RowsOutcome {
  readonly accepted: number
  /** committed; empty of a chunk that does not sample, undefined where the request took no notice of its rows */
  readonly ids: readonly number[] | undefined
}

export function headerLine(options: EngineOptions, vocabSize: number): string {
  return JSON.stringify({ weirTrace: TRACE_VERSION, vocabSize, options })
}

export function addLine(spec: RequestSpec): string {
  const { id, maxTotal, priority, cacheSalt, maxDrafts, sampling, promptTokenIds } = spec
  return JSON.stringify([
    'add',
    id,
    maxTotal,
    priority,
    cacheSalt ?? null,
    maxDrafts ?? null,
    samplingRecord(sampling),
    promptTokenIds,
  ])
}

export function endLine(id: number, why: EndReason): string {
  return JSON.stringify(['end', id, why])
}

export function resetLine(): string {
  return JSON.stringify(['reset'])
}

export function planLine(scheduled: SchedulerOutput, plan: StepPlan): string {
  const { step, rows, drafts, requests, preempted, firstWaiting } = scheduled
  const { running, waiting, usedBlocks, cachedTokens, recomputedTokens } = scheduled
  return JSON.stringify([
    'plan',
    step,
    planDigest(plan),
    [rows.base, rows.draft, rows.prefill, rows.sampled, rows.charged],
    draftValues(drafts),
    [running, waiting, usedBlocks, cachedTokens, recomputedTokens],
    requests.map(shareValues),
    preempted.map(({ request, tokensToRecompute, freedBlocks }) => [request.id, tokensToRecompute, freedBlocks]),
    firstWaiting ? [firstWaiting.request.id, firstWaiting.reason] : null,
  ])
}

function draftValues({ k, reason, goodput }: DecidedDrafts): unknown[] {
  return goodput.length > 0 ? [k, reason, goodput.map(rounded)] : [k, reason]
}

/** Enough to see which number was the best, in a short line. */
function rounded(value: number): number {
  return Number(value.toPrecision(SIGNIFICANT_DIGITS))
}

function shareValues({
  running,
  prefill,
  admitted,
  firstPosition,
  n,
  k,
  m,
  samples,
  shortage,
}: ScheduledRequest): unknown {
  const { id } = running.request
  if (!prefill) return shortage ? [id, k, m, firstPosition, shortage] : [id, k, m, firstPosition]
  return {
    id,
    n,
    at: firstPosition,
    ...(admitted && { cached: firstPosition }),
    ...(samples && { samples, m }),
    ...(shortage && { shortage }),
  }
}

export function outcomeText({ accepted, ids }: RowsOutcome): string {
  return JSON.stringify(ids && accepted === acceptedOf(ids) ? ids : { accepted, ids })
}

/** Accepted drafts that so many committed ids stand for, unless a stop cut them short. */
export function acceptedOf(ids: readonly number[]): number {
  return Math.max(0, ids.length - 1)
}

/** @param outcomes texts of `outcomeText` */
export function rowsLine(outcomes: readonly string[]): string {
  return `["rows",${outcomes.join(',')}]`
}

export function stepLine(proposed: number, committed: number, ms: StepTimes): string {
  const { schedule, encode, wait, update, gpu, draft } = ms
  const gpuTimes = [gpu, draft].filter((time) => time !== undefined)
  return JSON.stringify(['step', proposed, committed, [schedule, encode, wait, update, ...gpuTimes]])
}

export function fatalLine({ code, message, details }: ErrorData): string {
  return JSON.stringify(['fatal', code, message, details])
}

export function footerLine(lines: number): string {
  return JSON.stringify({ lines })
}
