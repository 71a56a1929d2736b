/** The metrics of a run, from its request timelines and step records. It must never know how they are shown. */

import { type RefusedStep, rowsOf } from '../../../src/chart/stepText.ts'
import type { BudgetPolicy, StepRecord } from '../../../src/protocol/stepRecord.ts'
import type { SimulationRun } from './simulation.ts'

/** Milliseconds, by the nearest-rank method. */
export interface Quantiles {
  readonly p50: number
  readonly p95: number
  readonly p99: number
  readonly max: number
}

export interface Figures {
  readonly name: string
  readonly policy: BudgetPolicy
  /** B */
  readonly limit: number
  readonly steps: number
  /** virtual time from the first arrival to the end of the last step */
  readonly seconds: number
  readonly finishedRequests: number
  readonly tokensPerSecond: number
  readonly tokensPerStep: number
  readonly requestsPerSecond: number
  /** undefined without samples */
  readonly timeToFirstToken: Quantiles | undefined
  readonly interToken: Quantiles | undefined
  /** computed rows over B, mean over steps; may exceed 1 where a policy undercounts */
  readonly budgetUse: number
  /** the same over saturated steps, those in which a request lacked rows; undefined without any */
  readonly saturatedBudgetUse: number | undefined
  readonly saturatedSteps: number
  /** rows of the largest step, the refused one included */
  readonly mostRows: number
  /** rows above B, summed over the steps that ran */
  readonly overrunRows: number
  readonly overrunSteps: number
  readonly preemptions: number
  readonly preemptedRequests: number
  /** prefill rows of tokens that were computed before a preemption */
  readonly recomputedRows: number
  /** accepted over verified drafts; undefined without drafts */
  readonly acceptance: number | undefined
  /** prompt tokens found in the prefix cache */
  readonly cachedTokens: number
  readonly refused: RefusedStep | undefined
}

export function figuresOf(run: SimulationRun): Figures {
  const { options, records, saturated, requests, refused, endedAt } = run
  const limit = options.maxNumBatchedTokens
  const seconds = (endedAt - (requests[0]?.arrivedAt ?? 0)) / 1000
  const sum = (value: (record: StepRecord) => number): number =>
    records.reduce((total, record) => total + value(record), 0)
  const use = (of: readonly StepRecord[]): number => mean(of.map((record) => rowsOf(record) / limit))
  const full = records.filter(({ step }) => saturated.has(step))
  const finished = requests.filter((request) => request.finished).length
  const drafts = sum((record) => record.draftRows)
  const waits = requests.flatMap(({ arrivedAt, firstTokenAt }) =>
    firstTokenAt === undefined ? [] : [firstTokenAt - arrivedAt],
  )
  return {
    name: run.name,
    policy: options.budgetPolicy,
    limit,
    steps: records.length,
    seconds,
    finishedRequests: finished,
    tokensPerSecond: ratio(
      sum((record) => record.committedTokens),
      seconds,
    ),
    tokensPerStep: ratio(
      sum((record) => record.committedTokens),
      records.length,
    ),
    requestsPerSecond: ratio(finished, seconds),
    timeToFirstToken: quantiles(waits),
    interToken: quantiles(requests.flatMap(({ gaps }) => gaps)),
    budgetUse: use(records),
    saturatedBudgetUse: full.length > 0 ? use(full) : undefined,
    saturatedSteps: full.length,
    mostRows: records.reduce((most, record) => Math.max(most, rowsOf(record)), refused?.rows ?? 0),
    overrunRows: sum((record) => Math.max(0, rowsOf(record) - limit)),
    overrunSteps: records.filter((record) => rowsOf(record) > limit).length,
    preemptions: sum((record) => record.preempted),
    preemptedRequests: requests.filter(({ preemptions }) => preemptions > 0).length,
    recomputedRows: sum((record) => record.recomputedTokens),
    acceptance: drafts > 0 ? sum((record) => record.acceptedDrafts) / drafts : undefined,
    cachedTokens: sum((record) => record.cachedTokens),
    refused,
  }
}

export function quantiles(values: readonly number[]): Quantiles | undefined {
  const sorted = values.toSorted((a, b) => a - b)
  const max = sorted.at(-1)
  if (max === undefined) return undefined
  const nearest = (q: number): number => sorted[Math.ceil(q * sorted.length) - 1] ?? max
  return { p50: nearest(0.5), p95: nearest(0.95), p99: nearest(0.99), max }
}

function mean(values: readonly number[]): number {
  return ratio(
    values.reduce((total, value) => total + value, 0),
    values.length,
  )
}

function ratio(part: number, whole: number): number {
  return whole > 0 ? part / whole : 0
}
