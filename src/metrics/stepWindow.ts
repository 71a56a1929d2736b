/** What the steps of the last seconds did: throughput, rows per step, use of the budget. Times are passed in, milliseconds. */

import type { StepRecord } from '../protocol/stepRecord.ts'

export interface WindowSummary {
  readonly steps: number
  readonly tokensPerSecond: number
  readonly stepsPerSecond: number
  /** committed tokens, mean */
  readonly tokensPerStep: number
  /** real rows, mean */
  readonly rowsPerStep: number
  /** real rows over the limit, mean over steps; above 1 where a policy miscounts */
  readonly budgetUse: number
  /** accepted over verified drafts; 0 without drafts */
  readonly acceptance: number
}

interface TimedStep {
  readonly startedAt: number
  readonly record: StepRecord
}

export class StepWindow {
  readonly #milliseconds: number
  /** oldest first */
  #steps: TimedStep[] = []

  /** @param milliseconds how far back it looks */
  constructor(milliseconds = 10_000) {
    this.#milliseconds = milliseconds
  }

  add(record: StepRecord, startedAt: number): void {
    this.#forget(startedAt)
    this.#steps.push({ startedAt, record })
  }

  /** Over the steps that began in the window before `at`; the time runs from the first of them. */
  summary(at: number): WindowSummary {
    this.#forget(at)
    const records = this.#steps.map(({ record }) => record)
    const sum = (value: (record: StepRecord) => number): number => records.reduce((total, r) => total + value(r), 0)
    const seconds = (at - (this.#steps[0]?.startedAt ?? at)) / 1000
    const tokens = sum((r) => r.committedTokens)
    const rows = sum((r) => r.baseRows + r.draftRows + r.prefillRows)
    return {
      steps: records.length,
      tokensPerSecond: ratio(tokens, seconds),
      stepsPerSecond: ratio(records.length, seconds),
      tokensPerStep: ratio(tokens, records.length),
      rowsPerStep: ratio(rows, records.length),
      budgetUse: ratio(
        rows,
        sum((r) => r.limit),
      ),
      acceptance: ratio(
        sum((r) => r.acceptedDrafts),
        sum((r) => r.acceptedDrafts + r.rejectedDrafts),
      ),
    }
  }

  #forget(at: number): void {
    const kept = this.#steps.findIndex(({ startedAt }) => startedAt >= at - this.#milliseconds)
    this.#steps = kept < 0 ? [] : this.#steps.slice(kept)
  }
}

function ratio(part: number, whole: number): number {
  return whole > 0 ? part / whole : 0
}
