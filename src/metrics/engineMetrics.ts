/** Everything an engine counts about itself. Fed by the engine, read by `stats()`; it decides nothing. */

import type { StepRecord } from '../protocol/stepRecord.ts'
import { AcceptanceCounter } from './acceptance.ts'
import { type LatencySummary, LatencyTracker } from './latency.ts'
import { StepWindow, type WindowSummary } from './stepWindow.ts'

export interface MetricsSummary {
  readonly steps: number
  readonly committedTokens: number
  readonly preemptions: number
  /** drafts verified and accepted at each position 1…numSpeculativeTokens */
  readonly draftsVerified: readonly number[]
  readonly draftsAccepted: readonly number[]
  readonly timeToFirstToken: LatencySummary
  readonly interToken: LatencySummary
  readonly window: WindowSummary
}

export class EngineMetrics {
  readonly latency = new LatencyTracker()
  readonly acceptance: AcceptanceCounter
  readonly #window = new StepWindow()
  #steps = 0
  #committedTokens = 0
  #preemptions = 0

  constructor(numSpeculativeTokens: number) {
    this.acceptance = new AcceptanceCounter(numSpeculativeTokens)
  }

  step(record: StepRecord, startedAt: number): void {
    this.#steps++
    this.#committedTokens += record.committedTokens
    this.#preemptions += record.preempted
    this.#window.add(record, startedAt)
  }

  summary(at: number): MetricsSummary {
    return {
      steps: this.#steps,
      committedTokens: this.#committedTokens,
      preemptions: this.#preemptions,
      draftsVerified: this.acceptance.verified,
      draftsAccepted: this.acceptance.accepted,
      timeToFirstToken: this.latency.timeToFirstToken,
      interToken: this.latency.interToken,
      window: this.#window.summary(at),
    }
  }
}
