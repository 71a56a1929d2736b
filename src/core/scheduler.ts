/**
 * The scheduler: once per step it hands out the rows of B and the blocks of the KV pool. There are no prefill and decode
 * phases: a request has computed and known tokens, and a step hands out rows until they meet. Deterministic: no clock, no
 * randomness. It must never know a runner, a token's text or why a request ended.
 *
 * After vLLM's v1 scheduler, with base rows before drafts, drafts dealt in rounds, and a step dealt anew when blocks run out.
 */

import type { EngineOptions } from '../protocol/engineOptions.ts'
import type { StepTimes } from '../protocol/stepRecord.ts'
import { assert, cdiv } from '../util/math.ts'
import { AdmissionRound, type AdmissionState, type Candidate } from './admission.ts'
import { claimBlocks } from './blockFit.ts'
import { BUDGET_RULES, type BudgetRule } from './budgetPolicy.ts'
import { chunkRows, numSpeculativeTokens, servable, slotsNeeded } from './cost.ts'
import type { DraftDecision } from './drafting/draftPolicy.ts'
import type { Proposer } from './drafting/proposer.ts'
import { Speculation } from './drafting/speculation.ts'
import { dealDrafts } from './draftRounds.ts'
import { KvCacheManager } from './kvCacheManager.ts'
import { checkSchedulerLimits } from './limits.ts'
import { Request, type RequestSpec, type RunningRequest } from './request.ts'
import { RequestQueue } from './requestQueue.ts'
import { RunningSet } from './runningSet.ts'
import type { Obstacle, RowTotals, SchedulerOutput, Victim } from './schedulerOutput.ts'
import { seal } from './seal.ts'
import { Standing } from './standing.ts'
import { Share, StepAllotment } from './stepAllotment.ts'
import { chooseVictim } from './victim.ts'

export class Scheduler {
  readonly kv: KvCacheManager
  readonly #speculation: Speculation
  readonly #options: EngineOptions
  readonly #rule: BudgetRule
  readonly #waiting = new RequestQueue()
  readonly #running: RunningSet
  #step = 0
  #arrivals = 0
  /** rows run so far: the clock that requests age by */
  #rowsRun = 0

  /**
   * @param proposer of drafts, in place of the one that the options ask for
   * @throws INVALID_OPTION
   */
  constructor(options: EngineOptions, proposer?: Proposer) {
    checkSchedulerLimits(options)
    this.#speculation = new Speculation(options, proposer)
    this.#options = options
    this.#rule = BUDGET_RULES[options.budgetPolicy]
    this.#running = new RunningSet(options.maxNumSeqs)
    this.kv = new KvCacheManager(options)
  }

  /** In the order of their standing. */
  get running(): readonly RunningRequest[] {
    return this.#running.ordered
  }

  /** In the order of their standing. */
  get waiting(): Iterable<Request> & { readonly size: number } {
    return this.#waiting
  }

  get hasUnfinished(): boolean {
    return this.#running.size + this.#waiting.size > 0
  }

  /** The running request of this id and generation; undefined when the generation is stale. */
  find(id: number, generation: number): RunningRequest | undefined {
    const running = this.#running.find(id)
    return running?.generation === generation ? running : undefined
  }

  /** A request whose id no unfinished one has. */
  add(spec: RequestSpec): Request {
    assert(servable(spec.maxTotal, this.#options), `request ${spec.id} is servable`)
    assert(!this.#running.find(spec.id), `request ${spec.id} does not run yet`)
    const { schedulingPolicy, priorityAgingTokens } = this.#options
    const priority = schedulingPolicy === 'priority' ? spec.priority : 0
    const request = new Request(spec, new Standing(priority, ++this.#arrivals, this.#rowsRun, priorityAgingTokens))
    this.#waiting.add(request)
    return request
  }

  /**
   * Removes a request that ended, waiting or running, also while rows of it are in flight: steps run in order, so a later owner
   * of its blocks and table row writes after them.
   */
  remove(id: number): void {
    this.#speculation.forget(id)
    if (this.#waiting.remove(id)) return
    const running = this.#running.find(id)
    if (running) this.#vacate(running)
  }

  /** Takes the outcome of a request's oldest rows in flight: drafts accepted, and the ids to commit. */
  settle(running: RunningRequest, accepted: number, ids: readonly number[]): void {
    running.settle(accepted)
    for (const id of ids) running.request.tokens.push(id)
    this.kv.register(running.request, running.computed)
    this.#speculation.settled(running)
  }

  /**
   * Takes what a step came to, after its rows have settled.
   * @param accepted drafts of each of its requests
   * @param ms that it took; the number of drafts may be chosen by them
   */
  observe({ requests }: SchedulerOutput, accepted: readonly number[], { encode, wait }: StepTimes): void {
    this.#speculation.observe(requests, accepted, encode + wait)
    for (const { running } of requests) {
      const { request, generation } = running
      if (!this.find(request.id, generation)) this.#speculation.forget(request.id)
    }
  }

  /** Forgets every cached prefix. Whoever runs keeps its blocks. */
  resetPrefixCache(): void {
    this.kv.reset()
  }

  /** Throws unless blocks, tables, cache and running requests agree. Callable between any two calls. */
  checkIntegrity(): void {
    this.kv.checkIntegrity()
    for (const owner of this.kv.blockOwners()) {
      assert(owner < 0 || this.#running.find(owner) !== undefined, `request ${owner} runs`)
    }
  }

  /** The next step. It holds no request only when none can get a row before steps in flight have settled. */
  schedule(): SchedulerOutput {
    this.#step++
    const drafts = this.#decideDrafts()
    const preempted: Victim[] = []
    let step = this.#deal(drafts, true)
    while (!step) {
      preempted.push(this.#preempt())
      step = this.#deal(drafts, false)
    }
    const obstacle = preempted.length === 0 ? this.#admit(step, drafts) : 'preemption'
    return this.#seal(step, drafts, preempted, obstacle)
  }

  /** Drafts go before people: without them the step may find its blocks. */
  #deal(drafts: DraftDecision, admitting: boolean): StepAllotment | undefined {
    const most = numSpeculativeTokens(this.#options)
    return this.#dealWith(drafts, most, admitting) ?? (most > 0 ? this.#dealWith(drafts, 0, admitting) : undefined)
  }

  /**
   * Deals rows and blocks to the running requests.
   * @param most drafts of a request, whatever was decided
   * @returns undefined when somebody found no block for a single row
   */
  #dealWith(drafts: DraftDecision, most: number, admitting: boolean): StepAllotment | undefined {
    const { draftCharge } = this.#rule
    const step = new StepAllotment(this.#rule.budget(this.#options), this.kv.freeBlocks)
    const decoding = this.#dealBaseRows(step, drafts)
    const setAside = this.#setAside(step, decoding, admitting)
    dealDrafts(step, decoding, setAside, most, draftCharge, this.#step)
    for (const share of decoding) if (!this.#claim(step, share, drafts, most)) return undefined
    return this.#dealPrefills(step, drafts, most) ? step : undefined
  }

  /** Everybody gets one: nobody is admitted unless all who run have a row and one is left, so the budget covers them. */
  #dealBaseRows(step: StepAllotment, drafts: DraftDecision): readonly Share[] {
    for (const running of this.#running.ordered) {
      if (!running.decodeReady || !running.wantsRows) continue
      step.deal(new Share(running, 1, false, false, this.#speculation.verifiable(running, drafts)))
    }
    return step.shares.slice()
  }

  /** Rows that drafts must leave for prompts: what prompts want, at most a quarter of B, at least one. */
  #setAside(step: StepAllotment, decoding: readonly Share[], admitting: boolean): number {
    const most = Math.max(0, Math.min(step.rest, cdiv(this.#options.maxNumBatchedTokens, 4)))
    let drafts = 0
    for (const { usableDrafts } of decoding) drafts += usableDrafts
    if (drafts <= step.rest - most) return 0
    let wanted = 0
    for (const running of this.#running.ordered) wanted += this.#chunk(running)
    if (wanted >= most || !admitting) return Math.min(wanted, most)
    const scratch = new StepAllotment(step.rest, step.freeBlocks)
    for (const running of this.#running.ordered) scratch.promise(running, undefined, this.kv)
    return wanted + new AdmissionRound(this.#admissionState, scratch).wantedRows(most - wanted)
  }

  #dealPrefills(step: StepAllotment, drafts: DraftDecision, most: number): boolean {
    for (const running of this.#running.ordered) {
      const wanted = running.prefillRemaining
      if (wanted === 0) continue
      const n = Math.min(step.rest, this.#chunk(running))
      const share = n > 0 ? step.deal(new Share(running, n, true, false)) : undefined
      if (share && n < wanted) share.shortage = n < this.#chunk(running) ? 'rows' : 'threshold'
      if (share && !this.#claim(step, share, drafts, most)) return false
      step.promise(running, share, this.kv)
    }
    return true
  }

  /** @returns why the first request that still waits does */
  #admit(step: StepAllotment, drafts: DraftDecision): Obstacle | undefined {
    const round = new AdmissionRound(this.#admissionState, step)
    for (let candidate = round.next(); candidate; candidate = round.next()) {
      this.#enter(candidate, step, drafts)
      round.admitted()
    }
    return round.obstacle
  }

  #enter({ request, cached }: Candidate, step: StepAllotment, drafts: DraftDecision): void {
    this.#waiting.remove(request.id)
    this.kv.admit(request, cached)
    step.freeBlocks -= cached.blocks.length - cached.held
    const running = this.#running.enter(request, cached.tokens)
    const wanted = running.prefillRemaining
    const n = Math.min(step.rest, this.#chunk(running))
    const share = step.deal(new Share(running, n, true, true))
    if (n < wanted) share.shortage = n < this.#chunk(running) ? 'rows' : 'threshold'
    const fits = this.#claim(step, share, drafts, numSpeculativeTokens(this.#options))
    assert(fits, `the blocks of request ${request.id} were counted before it was admitted`)
    step.promise(running, share, this.kv)
  }

  #seal(
    step: StepAllotment,
    { k, reason }: DraftDecision,
    preempted: readonly Victim[],
    obstacle: Obstacle | undefined,
  ): SchedulerOutput {
    const rows = seal(this.#step, step, this.#rule, this.#options)
    let cachedTokens = 0
    let recomputedTokens = 0
    for (const share of step.shares) {
      this.#commit(share)
      if (share.admitted) cachedTokens += share.firstPosition
      if (share.prefill) recomputedTokens += recomputedRows(share)
    }
    this.#rowsRun += rowsRun(rows)
    const request = this.#waiting.at(0)
    return {
      step: this.#step,
      requests: step.shares,
      rows,
      drafts: { k, reason, verification: this.#speculation.verification },
      preempted,
      held: request && obstacle && { request, obstacle },
      cachedTokens,
      recomputedTokens,
      running: this.#running.size,
      waiting: this.#waiting.size,
      usedBlocks: this.kv.usedBlocks,
    }
  }

  /** From here on the rows are in flight. */
  #commit(share: Share): void {
    const { running, firstPosition, n, m, blocks } = share
    const { id, maxTotal } = running.request
    const table = this.kv.table(id)
    share.firstBlock = share.admitted ? 0 : table.length
    if (blocks > 0) this.kv.allocate(id, slotsNeeded(firstPosition, n, m, maxTotal))
    if (table.length > share.firstBlock) share.newBlocks = table.slice(share.firstBlock)
    running.begin(share)
    running.drafts = m
  }

  /** Drafts are weighed against the rows that prompts would have without them. */
  #decideDrafts(): DraftDecision {
    const { maxNumBatchedTokens, longPrefillTokenThreshold } = this.#options
    let decoding = 0
    let prompts = 0
    for (const running of this.#running.ordered) {
      if (running.decodeReady) decoding++
      else prompts += this.#chunk(running)
    }
    const head = this.#running.freeSlots > 0 ? this.#waiting.at(0) : undefined
    if (head) prompts += chunkRows(head.tokens.length, longPrefillTokenThreshold)
    const rest = Math.max(0, maxNumBatchedTokens - decoding)
    const prefillRows = Math.min(rest, prompts)
    const setAside = Math.min(prefillRows, cdiv(maxNumBatchedTokens, 4))
    return this.#speculation.decide(this.#running.ordered, prefillRows, rest - setAside)
  }

  #claim(step: StepAllotment, share: Share, drafts: DraftDecision, most: number): boolean {
    const limit = Math.min(most, this.#speculation.proposable(share.running, drafts))
    return claimBlocks(step, share, this.kv, limit, this.#rule.draftCharge)
  }

  /** Rows a prompt may have in this step. */
  #chunk(running: RunningRequest): number {
    return chunkRows(running.prefillRemaining, this.#options.longPrefillTokenThreshold)
  }

  get #admissionState(): AdmissionState {
    return { waiting: this.#waiting, running: this.#running, kv: this.kv, options: this.#options }
  }

  /** Its KV is recomputed later, but for what is then still in the cache. */
  #preempt(): Victim {
    const { running, ...victim } = chooseVictim(this.#running.ordered, this.kv)
    const { request } = running
    this.#vacate(running)
    request.recomputeEnd = Math.max(request.recomputeEnd, running.computed)
    request.standing.preemptions++
    this.#waiting.add(request)
    return victim
  }

  #vacate(running: RunningRequest): void {
    this.kv.release(running.request.id)
    this.#running.leave(running)
  }
}

function rowsRun({ base, draft, prefill }: RowTotals): number {
  return base + draft + prefill
}

function recomputedRows({ running, firstPosition, n }: Share): number {
  return Math.max(0, Math.min(firstPosition + n, running.request.recomputeEnd) - firstPosition)
}
