/**
 * Replays a trace: a fresh scheduler gets the recorded calls in their order, and every plan it makes must be, byte for byte, the
 * one that was recorded. Pure: no runner, no clock, and no engine is touched.
 */

import { numSpeculativeTokens } from '../../core/cost.ts'
import { validateRequest } from '../../core/limits.ts'
import type { RequestSpec } from '../../core/request.ts'
import { Scheduler } from '../../core/schedule/scheduler.ts'
import type { StepPlan } from '../../core/stepPlan.ts'
import { buildStepPlan } from '../../core/stepPlanBuilder.ts'
import { SpeculationMetrics } from '../../metrics/speculationMetrics.ts'
import { WeirError } from '../../protocol/errors.ts'
import type { Replay, ReplayFailure } from '../../protocol/replay.ts'
import type { StepRecord, StepTimes } from '../../protocol/stepRecord.ts'
import { buildStepRecord } from '../stepRecordBuilder.ts'
import { ReplayStep } from './replayStep.ts'
import { malformed } from './traceFields.ts'
import { readHeader, type TraceHeader } from './traceHeader.ts'
import { planLine } from './traceLines.ts'
import { bodyLines, readLine, type TraceLine } from './traceReader.ts'

/**
 * @param onPlan gets each plan, once it is found equal to the recorded one
 * @throws TRACE_FORMAT for whatever is not a whole trace, and naming line and step where one does not lead to the recorded plans
 */
export function replayTrace(trace: string, onPlan: (plan: StepPlan) => void = () => {}): Replay {
  const replay = new TraceReplay(readHeader(trace), onPlan)
  const lines = bodyLines(trace)
  let number = 1
  try {
    for (const line of lines) {
      number++
      replay.take(readLine(line), line)
    }
  } catch (thrown) {
    // A broken invariant of the scheduler too: the trace led it there.
    const { step } = replay
    const { message } = WeirError.from(thrown)
    const details = { line: number, step }
    throw new WeirError('TRACE_FORMAT', `line ${number}, step ${step}: ${message}`, details, { cause: thrown })
  }
  return replay.finish()
}

class TraceReplay {
  readonly #header: TraceHeader
  readonly #onPlan: (plan: StepPlan) => void
  readonly #scheduler: Scheduler
  /** ids of unfinished requests */
  readonly #live = new Set<number>()
  readonly #records: StepRecord[] = []
  readonly #speculation: SpeculationMetrics
  #requests = 0
  #open: ReplayStep | undefined
  #plans = 0
  #failure: ReplayFailure | undefined

  constructor(header: TraceHeader, onPlan: (plan: StepPlan) => void) {
    this.#header = header
    this.#onPlan = onPlan
    this.#scheduler = new Scheduler(header.options)
    this.#speculation = new SpeculationMetrics(numSpeculativeTokens(header.options))
  }

  /** The latest that was planned. */
  get step(): number {
    return this.#plans
  }

  take(line: TraceLine, text: string): void {
    if (this.#failure) malformed('the engine had ended, nothing may follow')
    switch (line.kind) {
      case 'add':
        this.#add(line.spec)
        break
      case 'end':
        this.#end(line.id)
        break
      case 'reset':
        this.#scheduler.resetPrefixCache()
        break
      case 'plan':
        this.#plan(text)
        break
      case 'rows':
        for (const outcome of line.outcomes) this.#openStep().take(outcome)
        break
      case 'step':
        this.#close(line.proposed, line.committed, line.ms)
        break
      case 'fatal':
        this.#failure = { ...line.error, step: this.#plans }
    }
  }

  finish(): Replay {
    if (this.#open && !this.#failure) malformed('the trace ends within a step')
    return {
      options: this.#header.options,
      records: this.#records,
      speculation: this.#speculation.summary(),
      requests: this.#requests,
      plans: this.#plans,
      ...(this.#failure && { failure: this.#failure }),
    }
  }

  #add(spec: RequestSpec): void {
    const { options, vocabSize } = this.#header
    const { id, maxTotal, promptTokenIds } = spec
    if (this.#live.has(id)) malformed(`request id ${id} is in use`)
    if (maxTotal > options.maxModelLen)
      malformed(`request ${id}: ${maxTotal} tokens exceed maxModelLen ${options.maxModelLen}`)
    validateRequest({ ...spec, maxTokens: maxTotal - promptTokenIds.length }, options, vocabSize)
    this.#scheduler.add(spec)
    this.#live.add(id)
    this.#requests++
  }

  #end(id: number): void {
    if (!this.#live.delete(id)) malformed(`there is no request ${id}`)
    this.#scheduler.remove(id)
  }

  #plan(recorded: string): void {
    if (this.#open) malformed(`step ${this.#plans} has no end`)
    const step = new ReplayStep(this.#scheduler, this.#speculation, this.#header.vocabSize)
    this.#open = step
    this.#plans++
    const plan = buildStepPlan(step.scheduled)
    const made = planLine(step.scheduled, plan)
    if (made !== recorded) malformed(`the plan differs from the recorded one: ${difference(made, recorded)}`)
    this.#onPlan(plan)
  }

  #close(proposed: number, committed: number, ms: StepTimes): void {
    const step = this.#openStep()
    const results = step.end(proposed, committed, ms)
    const { totalBlocks } = this.#scheduler.kv
    const record = buildStepRecord(this.#header.options, step.scheduled, results, totalBlocks, ms)
    this.#records.push(record)
    this.#speculation.step(record)
    this.#open = undefined
  }

  #openStep(): ReplayStep {
    return this.#open ?? malformed('no step was planned')
  }
}

/** Where two lines part. */
function difference(made: string, recorded: string): string {
  let from = 0
  while (from < made.length && made[from] === recorded[from]) from++
  const begin = Math.max(0, from - 20)
  return `…${made.slice(begin, from + 40)}… is not …${recorded.slice(begin, from + 40)}…`
}
