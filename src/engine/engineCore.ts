/**
 * The engine: schedule, submit, update, one step after another. It passes plain data between scheduler and runner, which never
 * call one another, commits what comes back, and ends requests. Token ids only: `onTokens` is answered by the worker, which knows text.
 *
 * A fatal error ends every request with it, and the engine refuses more with the same error.
 */

import { maxTotalTokens, numSpeculativeTokens } from '../core/cost.ts'
import { validateRequest } from '../core/limits.ts'
import type { Request, RunningRequest } from '../core/request.ts'
import { Scheduler } from '../core/schedule/scheduler.ts'
import type { ScheduledRequest, SchedulerOutput } from '../core/schedule/schedulerOutput.ts'
import type { DraftingParts } from '../core/speculation/speculation.ts'
import type { RequestOutput, StepOutput, StepPlan } from '../core/stepPlan.ts'
import { buildStepPlan } from '../core/stepPlanBuilder.ts'
import type { StepRunner } from '../core/stepRunner.ts'
import { EngineMetrics } from '../metrics/engineMetrics.ts'
import type { EngineOptions } from '../protocol/engineOptions.ts'
import { WeirError } from '../protocol/errors.ts'
import type { FinishReason } from '../protocol/request.ts'
import type { StepRecord, StepTimes } from '../protocol/stepRecord.ts'
import { assert } from '../util/math.ts'
import { describeStall } from './describeStall.ts'
import type { EngineCoreStats, EngineHooks, NewRequest } from './engineTypes.ts'
import { RequestTrace } from './requestTrace.ts'
import { buildStepRecord, type StepResults } from './stepRecordBuilder.ts'
import { checkStop } from './stopChecker.ts'
import { TraceRecorder } from './trace/traceRecorder.ts'

export interface EngineSetup {
  readonly options: EngineOptions
  readonly runner: StepRunner
  /** ids of a prompt are below it */
  readonly vocabSize: number
  /** milliseconds of a clock that does not run backwards */
  readonly now: () => number
  readonly hooks: EngineHooks
  /** in place of what the options ask for; for tests */
  readonly drafting?: DraftingParts
}

/** A request from `add` to its end. */
interface LiveRequest {
  readonly request: Request
  readonly stopIds: ReadonlySet<number>
  readonly trace: RequestTrace
}

/** A step on its way. */
interface BegunStep {
  readonly scheduled: SchedulerOutput
  readonly plan: StepPlan
  readonly startedAt: number
  readonly scheduledAt: number
}

export class EngineCore {
  readonly #setup: EngineSetup
  readonly #scheduler: Scheduler
  readonly #live = new Map<number, LiveRequest>()
  readonly #metrics: EngineMetrics
  /** undefined unless `debug.trace` */
  readonly #recorder: TraceRecorder | undefined
  #stepping = false
  #fatal: WeirError | undefined

  /** @throws INVALID_OPTION */
  constructor(setup: EngineSetup) {
    this.#setup = setup
    this.#scheduler = new Scheduler(setup.options, setup.drafting)
    this.#metrics = new EngineMetrics(numSpeculativeTokens(setup.options))
    if (setup.options.debug.trace) this.#recorder = new TraceRecorder(setup.options, setup.vocabSize)
  }

  /** @throws INVALID_REQUEST, UNSERVABLE_REQUEST; after a fatal error, that error */
  add(added: NewRequest): void {
    if (this.#fatal) throw this.#fatal
    const { id, promptTokenIds, sampling, priority, cacheSalt, maxDrafts } = added
    const { options, vocabSize, now } = this.#setup
    validateRequest(added, options, vocabSize)
    if (this.#live.has(id)) throw new WeirError('INVALID_REQUEST', `request id ${id} is in use`, { id })
    const maxTotal = maxTotalTokens(promptTokenIds.length, added.maxTokens, options)
    const request = this.#scheduler.add({ id, promptTokenIds, maxTotal, sampling, priority, cacheSalt, maxDrafts })
    this.#recorder?.added(request.spec)
    const stopIds = new Set([...added.stopTokenIds, ...(added.ignoreEos ? [] : added.eosTokenIds)])
    this.#live.set(id, { request, stopIds, trace: new RequestTrace(added.debug, numSpeculativeTokens(options)) })
    this.#metrics.latency.added(id, now())
  }

  /** Ends a request at any time, also while a step is in flight. @returns whether it was there */
  abort(id: number): boolean {
    const live = this.#live.get(id)
    if (live) this.#end(live, 'abort')
    return live !== undefined
  }

  hasWork(): boolean {
    return this.#scheduler.hasUnfinished
  }

  /**
   * Runs one step.
   * @returns its record; undefined when there is no work
   * @throws the fatal error that ended the engine
   */
  async step(): Promise<StepRecord | undefined> {
    if (this.#fatal) throw this.#fatal
    if (!this.hasWork()) return undefined
    assert(!this.#stepping, 'one step at a time')
    this.#stepping = true
    try {
      const begun = this.#schedule()
      const output = await this.#submit(begun)
      return this.#update(begun, output)
    } catch (thrown) {
      throw this.fail(WeirError.from(thrown))
    } finally {
      this.#stepping = false
    }
  }

  /** Ends every request with `error` and refuses more. @returns the error that was first */
  fail(error: WeirError): WeirError {
    if (!this.#fatal) this.#recorder?.failed(error)
    this.#fatal ??= error
    for (const live of this.#live.values()) this.#end(live, this.#fatal)
    return this.#fatal
  }

  /** Forgets every cached prefix; running requests go on. */
  resetPrefixCache(): void {
    this.#scheduler.resetPrefixCache()
    this.#recorder?.prefixCacheReset()
  }

  /**
   * What led to every plan so far, for `replayTrace`; a step under way is not in it.
   * @throws INVALID_OPTION without `debug.trace`
   */
  trace(): string {
    if (this.#recorder) return this.#recorder.text()
    throw new WeirError('INVALID_OPTION', 'nothing was recorded: load with debug.trace true', { option: 'debug.trace' })
  }

  stats(): EngineCoreStats {
    return {
      ...this.#metrics.summary(this.#setup.now()),
      running: this.#scheduler.running.length,
      waiting: this.#scheduler.waiting.size,
      blockOwners: this.#scheduler.kv.blockOwners(),
    }
  }

  /** Throws unless blocks and block tables agree and no ended request holds any. Callable between any two calls. */
  checkIntegrity(): void {
    this.#scheduler.checkIntegrity()
  }

  #schedule(): BegunStep {
    const startedAt = this.#setup.now()
    const scheduled = this.#scheduler.schedule()
    // One step at a time: nothing is in flight that could still bring rows or blocks.
    if (scheduled.requests.length === 0) throw new WeirError('INTERNAL', describeStall(this.#scheduler))
    for (const { request } of scheduled.preempted) {
      this.#live.get(request.id)?.trace.preempted(request.tokens.length)
    }
    for (const { admitted, running, firstPosition } of scheduled.requests) {
      if (admitted) this.#live.get(running.request.id)?.trace.admitted(firstPosition)
    }
    const plan = buildStepPlan(scheduled)
    const scheduledAt = this.#setup.now()
    this.#recorder?.planned(scheduled, plan)
    return { scheduled, plan, startedAt, scheduledAt }
  }

  async #submit({ plan }: BegunStep): Promise<StepOutput> {
    const output = await this.#setup.runner.submit(plan)
    if (this.#fatal) throw this.#fatal
    const answers = output.step === plan.step && output.requests.length === plan.requests.length
    assert(answers, `step ${output.step} answers step ${plan.step}`)
    assert(output.encodedRows === plan.rows, `${output.encodedRows} rows were encoded, the plan has ${plan.rows}`)
    return output
  }

  #update({ scheduled, startedAt, scheduledAt }: BegunStep, output: StepOutput): StepRecord {
    const settledAt = this.#setup.now()
    const results: StepResults = { accepted: 0, rejected: 0, proposed: 0, committed: 0 }
    const accepted = output.requests.map((answer) => answer.accepted)
    scheduled.requests.forEach((share, index) => {
      const answer = output.requests[index]
      assert(answer?.requestId === share.running.request.id, `answer ${index} is for the request of the plan`)
      results.accepted += answer.accepted
      results.rejected += share.k - answer.accepted
      results.proposed += answer.proposed.length
      this.#metrics.speculation.verified(share.k, answer.accepted)
      const running = this.#scheduler.find(answer.requestId, answer.generation)
      if (running) this.#commit(running, share, answer, settledAt, results)
      else this.#recorder?.ran(answer.accepted, undefined)
    })
    const { options, now, hooks } = this.#setup
    const ms = rounded({ schedule: scheduledAt - startedAt, ...output.ms, update: now() - settledAt })
    this.#scheduler.observe(scheduled, accepted, ms)
    const record = buildStepRecord(options, scheduled, results, this.#scheduler.kv.totalBlocks, ms)
    this.#metrics.step(record, startedAt)
    this.#recorder?.stepped(record)
    hooks.onStep(record)
    return record
  }

  /** Takes a request's outcome: computed tokens, then its new ids up to its end. Adds to `results` what it makes of them. */
  #commit(
    running: RunningRequest,
    share: ScheduledRequest,
    answer: RequestOutput,
    at: number,
    results: StepResults,
  ): void {
    const { request } = running
    const live = this.#live.get(request.id)
    assert(live !== undefined, `request ${request.id} is live`)
    if (answer.numericError) {
      this.#recorder?.ran(answer.accepted, undefined)
      this.#end(live, numericError(this.#setup.options))
      return
    }
    if (!share.samples) {
      this.#scheduler.settle(running, 0, [])
      this.#recorder?.ran(0, [])
      return
    }
    assert(
      answer.accepted >= 0 && answer.accepted <= share.k,
      `request ${request.id}: ${answer.accepted} accepted of ${share.k}`,
    )
    assert(answer.tokens.length === answer.accepted + 1, `request ${request.id}: one token beyond the accepted drafts`)
    const length = request.tokens.length
    const tokenEnd = checkStop(answer.tokens, live.stopIds, request.maxTotal - length)
    const ids = tokenEnd ? answer.tokens.slice(0, tokenEnd.keep) : answer.tokens
    this.#scheduler.settle(running, answer.accepted, ids)
    this.#recorder?.ran(answer.accepted, ids)
    results.proposed += running.proposal?.length ?? 0
    live.trace.sampled(length, answer, running.proposal ?? answer.proposed)
    live.trace.cut(answer.accepted, answer.tokens.length, ids.length)
    const textEnd = this.#setup.hooks.onTokens(request.id, ids)
    const end = textEnd ?? tokenEnd
    const kept = end ? end.keep : ids.length
    assert(kept >= 0 && kept <= ids.length, `request ${request.id}: ${kept} of ${ids.length} tokens are kept`)
    request.tokens.length = length + kept
    live.trace.cut(answer.accepted, ids.length, kept)
    results.committed += kept
    this.#metrics.latency.tokens(request.id, kept, at)
    // The hook may have aborted it.
    if (end && this.#live.get(request.id) === live) this.#end(live, end.reason)
  }

  #end({ request, trace }: LiveRequest, why: FinishReason | WeirError): void {
    this.#live.delete(request.id)
    this.#scheduler.remove(request.id)
    this.#recorder?.ended(request.id, why instanceof WeirError ? why.code : why)
    this.#metrics.latency.ended(request.id)
    this.#setup.hooks.onFinish({
      requestId: request.id,
      reason: why instanceof WeirError ? undefined : why,
      error: why instanceof WeirError ? why : undefined,
      tokenIds: request.tokens.slice(request.promptLength),
      usage: trace.usage(request.promptLength, request.outputLength),
      debug: trace.debug(),
    })
  }
}

function numericError({ kvCacheDtype }: Pick<EngineOptions, 'kvCacheDtype'>): WeirError {
  const fault = 'the logits are not finite: the weights or a kernel are at fault'
  if (kvCacheDtype === 'f32') return new WeirError('NUMERIC_ERROR', fault)
  return new WeirError(
    'NUMERIC_ERROR',
    `${fault}, or keys and values went beyond the range of f16: load with kvCacheDtype: 'f32'`,
    { option: 'kvCacheDtype' },
  )
}

/** To a microsecond, so that decisions made by these times come out the same when a trace is replayed. */
function rounded(ms: StepTimes): StepTimes {
  const round = (value: number): number => Math.round(value * 1000) / 1000
  const { schedule, encode, wait, update, gpu, draft } = ms
  return {
    schedule: round(schedule),
    encode: round(encode),
    wait: round(wait),
    update: round(update),
    ...(gpu !== undefined && { gpu: round(gpu) }),
    ...(draft !== undefined && { draft: round(draft) }),
  }
}
