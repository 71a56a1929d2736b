/**
 * The step that a replay is in: which requests of its plan are still to be heard of, and what came of the others. It refuses
 * outcomes that the engine could not have had. It must never know a line.
 */

import type { Scheduler } from '../../core/schedule/scheduler.ts'
import type { ScheduledRequest, SchedulerOutput } from '../../core/schedule/schedulerOutput.ts'
import type { SpeculationMetrics } from '../../metrics/speculationMetrics.ts'
import type { StepTimes } from '../../protocol/stepRecord.ts'
import type { StepResults } from '../stepRecordBuilder.ts'
import { malformed } from './traceFields.ts'
import type { RowsOutcome } from './traceLines.ts'

export class ReplayStep {
  readonly scheduled: SchedulerOutput
  readonly #scheduler: Scheduler
  readonly #speculation: SpeculationMetrics
  readonly #vocabSize: number
  readonly #results: StepResults = { accepted: 0, rejected: 0, proposed: 0, committed: 0 }
  #heard = 0
  /** drafts, by request */
  readonly #accepted: number[] = []

  /** @param speculation counts the drafts that were verified */
  constructor(scheduler: Scheduler, speculation: SpeculationMetrics, vocabSize: number) {
    this.scheduled = scheduler.schedule()
    if (this.scheduled.requests.length === 0) malformed('nothing can be planned here')
    this.#scheduler = scheduler
    this.#speculation = speculation
    this.#vocabSize = vocabSize
  }

  /** What came of the next request of the plan. */
  take({ accepted, ids }: RowsOutcome): void {
    const { requests } = this.scheduled
    const share =
      requests[this.#heard++] ?? malformed(`the plan has ${requests.length} requests, here is one more outcome`)
    const { id } = share.running.request
    if (accepted > share.k) malformed(`request ${id}: ${accepted} of ${share.k} drafts accepted`)
    this.#accepted.push(accepted)
    this.#results.accepted += accepted
    this.#results.rejected += share.k - accepted
    this.#speculation.verified(share.k, accepted)
    if (!ids) return
    this.#checkCommitted(share, accepted, ids)
    this.#results.committed += ids.length
    this.#scheduler.settle(share.running, accepted, ids)
    this.#results.proposed += share.running.proposal?.length ?? 0
  }

  /** The step has ended. @param proposed drafts. @param committed ids that stayed when texts had ended */
  end(proposed: number, committed: number, ms: StepTimes): StepResults {
    const { requests } = this.scheduled
    if (this.#heard < requests.length) malformed(`the outcome of ${requests.length - this.#heard} requests is missing`)
    for (const { request, computed, prefillEnd, stepsInFlight } of this.#scheduler.running) {
      const { id, tokens, maxTotal } = request
      if (stepsInFlight > 0) malformed(`request ${id} took no notice of its rows, yet it goes on`)
      if (tokens.length === maxTotal) malformed(`request ${id} is at its length limit, yet it goes on`)
      if (computed >= prefillEnd && computed !== tokens.length - 1)
        malformed(`request ${id} was cut short, yet it goes on`)
    }
    // On the host so many were proposed just now; how many the device did, only the trace knows.
    const onHost = this.#results.proposed
    const most = onHost + requests.reduce((sum, { m }) => sum + m, 0)
    if (proposed < onHost) malformed(`${proposed} drafts proposed, here it is ${onHost}`)
    if (proposed > most) malformed(`${proposed} drafts proposed, the plan has ${most}`)
    if (committed > this.#results.committed) malformed(`${committed} of ${this.#results.committed} ids committed`)
    this.#scheduler.observe(this.scheduled, this.#accepted, ms)
    return { ...this.#results, proposed, committed }
  }

  #checkCommitted({ running, samples }: ScheduledRequest, accepted: number, ids: readonly number[]): void {
    const { id, tokens, maxTotal } = running.request
    if (this.#scheduler.find(id, running.generation) !== running) malformed(`request ${id} has ended already`)
    const most = samples ? Math.min(accepted + 1, maxTotal - tokens.length) : 0
    const least = samples ? 1 : 0
    if (ids.length < least || ids.length > most)
      malformed(`request ${id}: ${ids.length} ids committed, at most ${most}`)
    for (const token of ids) {
      if (!Number.isInteger(token) || token < 0 || token >= this.#vocabSize) {
        malformed(`token id ${token} is outside the vocabulary of ${this.#vocabSize}`)
      }
    }
  }
}
