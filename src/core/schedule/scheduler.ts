/**
 * The scheduler: once per step it allocates the rows of B and the blocks of the KV pool. There are no prefill and decode
 * phases: a request has computed and known tokens, and steps give it rows until all known tokens are computed. Deterministic: no
 * clock, no randomness. It must never know a runner, a token's text or why a request ended.
 *
 * After vLLM's v1 scheduler, but base rows come before drafts, drafts are allocated round-robin, and after a preemption the
 * whole step is allocated again.
 */

import type { EngineOptions } from '../../protocol/engineOptions.ts'
import type { StepTimes } from '../../protocol/stepRecord.ts'
import { assert } from '../../util/math.ts'
import { servable, slotsNeeded } from '../cost.ts'
import { KvCacheManager } from '../kv/kvCacheManager.ts'
import { checkSchedulerLimits } from '../limits.ts'
import { Request, type RequestSpec, type RunningRequest } from '../request.ts'
import type { DraftDecision } from '../speculation/draftPolicy.ts'
import { type DraftingParts, Speculation } from '../speculation/speculation.ts'
import { AdmissionRound, type Candidate } from './admission.ts'
import { BUDGET_RULES } from './budgetPolicy.ts'
import { allocateKvPassRows } from './kvPassAllocation.ts'
import { RequestQueue } from './requestQueue.ts'
import { RowAllocator, type SchedulerState } from './rowAllocator.ts'
import { RunningSet } from './runningSet.ts'
import type { RowTotals, SchedulerOutput, Victim, WaitReason } from './schedulerOutput.ts'
import { SchedulingState } from './schedulingState.ts'
import { seal } from './seal.ts'
import type { RequestAllocation, StepAllocation } from './stepAllocation.ts'
import { chooseVictim } from './victim.ts'

export class Scheduler {
  readonly kv: KvCacheManager
  readonly #state: SchedulerState
  readonly #rowAllocator: RowAllocator
  #step = 0
  #arrivals = 0
  /** rows run so far: the clock that requests age by */
  #rowsRun = 0

  /** @throws INVALID_OPTION */
  constructor(options: EngineOptions, drafting?: DraftingParts) {
    checkSchedulerLimits(options)
    this.kv = new KvCacheManager(options)
    this.#state = {
      options,
      rule: BUDGET_RULES[options.budgetPolicy],
      kv: this.kv,
      waiting: new RequestQueue(),
      running: new RunningSet(options.maxNumSeqs),
      speculation: new Speculation(options, drafting),
    }
    this.#rowAllocator = new RowAllocator(this.#state)
  }

  /** In scheduling order. */
  get running(): readonly RunningRequest[] {
    return this.#state.running.ordered
  }

  /** In scheduling order. */
  get waiting(): Iterable<Request> & { readonly size: number } {
    return this.#state.waiting
  }

  get hasUnfinished(): boolean {
    return this.#state.running.size + this.#state.waiting.size > 0
  }

  /** The running request of this id and generation; undefined when the generation is stale. */
  find(id: number, generation: number): RunningRequest | undefined {
    const running = this.#state.running.find(id)
    return running?.generation === generation ? running : undefined
  }

  /** A request whose id no unfinished one has. */
  add(spec: RequestSpec): Request {
    assert(servable(spec.maxTotal, this.#state.options), `request ${spec.id} is servable`)
    assert(!this.#state.running.find(spec.id), `request ${spec.id} does not run yet`)
    const { schedulingPolicy, priorityAgingTokens } = this.#state.options
    const priority = schedulingPolicy === 'priority' ? spec.priority : 0
    const request = new Request(
      spec,
      new SchedulingState(priority, ++this.#arrivals, this.#rowsRun, priorityAgingTokens),
    )
    this.#state.waiting.add(request)
    return request
  }

  /**
   * Removes a request that ended, waiting or running, also while rows of it are in flight: steps run in order, so a later owner
   * of its blocks and table row writes after them.
   */
  remove(id: number): void {
    this.#state.speculation.forget(id)
    if (this.#state.waiting.remove(id)) return
    const running = this.#state.running.find(id)
    if (running) this.#vacate(running)
  }

  /** Takes the outcome of a request's oldest rows in flight: drafts accepted, and the ids to commit. */
  settle(running: RunningRequest, accepted: number, ids: readonly number[]): void {
    running.settle(accepted)
    for (const id of ids) running.request.tokens.push(id)
    this.kv.markDrafterComputed(running.request.id, running.drafterMissingFrom ?? running.computed)
    this.kv.register(running.request, running.computed)
    this.#state.speculation.settled(running)
  }

  /**
   * Takes what a step came to, after its rows have settled.
   * @param accepted drafts of each of its requests
   * @param ms that it took; the number of drafts may be chosen by them
   */
  observe({ requests }: SchedulerOutput, accepted: readonly number[], { encode, wait }: StepTimes): void {
    this.#state.speculation.observe(requests, accepted, encode + wait)
    for (const { running } of requests) {
      const { request, generation } = running
      if (!this.find(request.id, generation)) this.#state.speculation.forget(request.id)
    }
  }

  /** Forgets every cached prefix. Running requests keep their blocks. */
  resetPrefixCache(): void {
    this.kv.reset()
  }

  /** Throws unless blocks, tables, cache and running requests agree. Callable between any two calls. */
  checkIntegrity(): void {
    this.kv.checkIntegrity()
    for (const owner of this.kv.blockOwners()) {
      assert(owner < 0 || this.#state.running.find(owner) !== undefined, `request ${owner} runs`)
    }
  }

  /** The next step. It holds no request only when none can get a row before steps in flight have settled. */
  schedule(): SchedulerOutput {
    this.#step++
    const drafts = this.#rowAllocator.decideDrafts()
    const preempted: Victim[] = []
    let step = this.#rowAllocator.allocate(this.#step, drafts, true)
    while (!step) {
      preempted.push(this.#preempt())
      step = this.#rowAllocator.allocate(this.#step, drafts, false)
    }
    const waitReason = preempted.length === 0 ? this.#admit(step, drafts) : 'preemption'
    return this.#seal(step, drafts, preempted, waitReason)
  }

  /** @returns why the first request that still waits does */
  #admit(step: StepAllocation, drafts: DraftDecision): WaitReason | undefined {
    const round = new AdmissionRound(this.#state, step)
    for (let candidate = round.next(); candidate; candidate = round.next()) {
      this.#enter(candidate, step, drafts)
      round.admitted()
    }
    return round.waitReason
  }

  #enter({ request, cached }: Candidate, step: StepAllocation, drafts: DraftDecision): void {
    this.#state.waiting.remove(request.id)
    this.kv.admit(request, cached)
    step.freeBlocks -= cached.blocks.length - cached.held
    const running = this.#state.running.enter(request, cached.tokens, this.kv.table(request.id))
    running.drafterHasComputed(this.kv.drafterComputedTokens(request.id))
    const fits = this.#rowAllocator.allocatePrefill(step, running, true, drafts)
    assert(fits, `the blocks of request ${request.id} were counted before it was admitted`)
  }

  #seal(
    step: StepAllocation,
    decision: DraftDecision,
    preempted: readonly Victim[],
    waitReason: WaitReason | undefined,
  ): SchedulerOutput {
    allocateKvPassRows(step.allocations, decision, this.#state)
    const { fewer: _, runKvPass: __, ...drafts } = decision
    const rows = seal(this.#step, step, this.#state.rule, this.#state.options)
    let cachedTokens = 0
    let recomputedTokens = 0
    for (const allocation of step.allocations) {
      this.#commit(allocation)
      if (allocation.admitted) cachedTokens += allocation.firstPosition
      if (allocation.prefill) recomputedTokens += recomputedRows(allocation)
    }
    this.#rowsRun += rowsRun(rows)
    const request = this.#state.waiting.at(0)
    return {
      step: this.#step,
      requests: step.allocations,
      rows,
      drafts: { ...drafts, verification: this.#state.speculation.verification },
      preempted,
      firstWaiting: request && waitReason && { request, reason: waitReason },
      cachedTokens,
      recomputedTokens,
      running: this.#state.running.size,
      waiting: this.#state.waiting.size,
      usedBlocks: this.kv.usedBlocks,
    }
  }

  /** From here on the rows are in flight. */
  #commit(allocation: RequestAllocation): void {
    const { running, firstPosition, n, m, blocks } = allocation
    const { id, maxTotal } = running.request
    const table = running.blocks
    allocation.firstBlock = allocation.admitted ? 0 : table.length
    if (blocks > 0) this.kv.allocate(id, slotsNeeded(firstPosition, n, m, maxTotal))
    if (table.length > allocation.firstBlock) allocation.newBlocks = table.slice(allocation.firstBlock)
    running.begin(allocation)
    running.drafts = m
  }

  /** The request's KV is recomputed later, except for the blocks that are still in the prefix cache then. */
  #preempt(): Victim {
    const { running, ...victim } = chooseVictim(this.#state.running.ordered, this.kv)
    const { request } = running
    this.#vacate(running)
    request.recomputeEnd = Math.max(request.recomputeEnd, running.computed)
    request.schedulingState.preemptions++
    this.#state.waiting.add(request)
    return victim
  }

  #vacate(running: RunningRequest): void {
    this.kv.release(running.request.id)
    this.#state.running.leave(running)
  }
}

function rowsRun({ base, draft, prefill }: RowTotals): number {
  return base + draft + prefill
}

function recomputedRows({ running, firstPosition, n }: RequestAllocation): number {
  return Math.max(0, Math.min(firstPosition + n, running.request.recomputeEnd) - firstPosition)
}
