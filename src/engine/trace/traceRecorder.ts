/**
 * Records what the engine asks of its scheduler, call by call in their order, and what comes of it. It decides nothing, and it
 * must never know what a line is for.
 */

import type { RequestSpec } from '../../core/request.ts'
import type { SchedulerOutput } from '../../core/schedule/schedulerOutput.ts'
import type { StepPlan } from '../../core/stepPlan.ts'
import type { EngineOptions } from '../../protocol/engineOptions.ts'
import type { WeirError } from '../../protocol/errors.ts'
import type { StepRecord } from '../../protocol/stepRecord.ts'
import {
  addLine,
  type EndReason,
  endLine,
  fatalLine,
  footerLine,
  headerLine,
  outcomeText,
  planLine,
  resetLine,
  rowsLine,
  stepLine,
} from './traceLines.ts'

export class TraceRecorder {
  readonly #lines: string[]
  /** of the step under way, not written yet */
  readonly #outcomes: string[] = []
  /** index of the line of the plan under way */
  #begun: number | undefined
  #closed = false

  constructor(options: EngineOptions, vocabSize: number) {
    this.#lines = [headerLine(options, vocabSize)]
  }

  added(spec: RequestSpec): void {
    this.#write(addLine(spec))
  }

  ended(id: number, why: EndReason): void {
    this.#write(endLine(id, why))
  }

  prefixCacheReset(): void {
    this.#write(resetLine())
  }

  planned(scheduled: SchedulerOutput, plan: StepPlan): void {
    this.#write(planLine(scheduled, plan))
    this.#begun = this.#lines.length - 1
  }

  /** The rows of the next request of the plan have run. @param ids as committed; undefined where the request was not told */
  ran(accepted: number, ids: readonly number[] | undefined): void {
    this.#outcomes.push(outcomeText({ accepted, ids }))
  }

  stepped({ proposedDrafts, committedTokens, ms }: StepRecord): void {
    this.#write(stepLine(proposedDrafts, committedTokens, ms))
    this.#begun = undefined
  }

  /** The engine has ended: nothing that follows is recorded. */
  failed(error: WeirError): void {
    this.#write(fatalLine(error.toData()))
    this.#begun = undefined
    this.#closed = true
  }

  /** The trace up to the end of the last step, or to the error that ended the engine; a step under way is not in it. */
  text(): string {
    const lines = this.#lines.slice(0, this.#begun)
    return `${[...lines, footerLine(lines.length)].join('\n')}\n`
  }

  /** Outcomes first: a request may end, or another come, between those of two requests. */
  #write(line: string): void {
    if (this.#closed) return
    if (this.#outcomes.length > 0) this.#lines.push(rowsLine(this.#outcomes.splice(0)))
    this.#lines.push(line)
  }
}
