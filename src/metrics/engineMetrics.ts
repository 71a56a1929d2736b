/** Everything an engine counts about itself. Fed by the engine, read by `stats()`; it decides nothing. */

import type { SpeculationStats } from '../protocol/speculation.ts'
import type { StepRecord } from '../protocol/stepRecord.ts'
import { type LatencySummary, LatencyTracker } from './latency.ts'
import { SpeculationMetrics } from './speculationMetrics.ts'
import { StepWindow, type WindowSummary } from './stepWindow.ts'

export interface MetricsSummary {
  readonly steps: number
  readonly committedTokens: number
  readonly preemptions: number
  readonly speculation: SpeculationStats
  readonly timeToFirstToken: LatencySummary
  readonly interToken: LatencySummary
  readonly window: WindowSummary
}

export class EngineMetrics {
  readonly latency = new LatencyTracker()
  readonly speculation: SpeculationMetrics
  readonly #window = new StepWindow()
  #steps = 0
  #committedTokens = 0
  #preemptions = 0

  constructor(numSpeculativeTokens: number) {
    this.speculation = new SpeculationMetrics(numSpeculativeTokens)
  }

  step(record: StepRecord, startedAt: number): void {
    this.#steps++
    this.#committedTokens += record.committedTokens
    this.#preemptions += record.preempted
    this.speculation.step(record)
    this.#window.add(record, startedAt)
  }

  summary(at: number): MetricsSummary {
    return {
      steps: this.#steps,
      committedTokens: this.#committedTokens,
      preemptions: this.#preemptions,
      speculation: this.speculation.summary(),
      timeToFirstToken: this.latency.timeToFirstToken,
      interToken: this.latency.interToken,
      window: this.#window.summary(at),
    }
  }
}
