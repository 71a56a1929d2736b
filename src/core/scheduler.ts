/**
 * The scheduler: once per step it hands out the rows of B and the blocks of the KV pool. There are no prefill and decode
 * phases: a request has computed and known tokens, and a step hands out rows until they meet. Deterministic: no clock, no
 * randomness. It must never know a runner, a token's text or why a request ended.
 *
 * After vLLM's v1 scheduler, with base rows before drafts and drafts dealt in rounds.
 */

import type { EngineOptions } from '../protocol/engineOptions.ts'
import { assert, cdiv } from '../util/math.ts'
import { admissible, type Candidate, promisedBlocks } from './admission.ts'
import { claimBlocks } from './blockFit.ts'
import { BUDGET_RULES, type BudgetRule } from './budgetPolicy.ts'
import { numSpeculativeTokens, servable, slotsNeeded, totalBlocks } from './cost.ts'
import { dealDrafts } from './draftRounds.ts'
import { KvCacheManager } from './kvCacheManager.ts'
import { checkSchedulerLimits } from './limits.ts'
import { decodeReady, prefillRemaining, type Request, RunningRequest, wantsRows } from './request.ts'
import { RequestQueue } from './requestQueue.ts'
import type { ScheduledRequest, SchedulerOutput } from './schedulerOutput.ts'
import { seal } from './seal.ts'
import { type Share, StepAllotment, samples } from './stepAllotment.ts'

export class Scheduler {
  readonly kv: KvCacheManager
  readonly #options: EngineOptions
  readonly #rule: BudgetRule
  readonly #waiting = new RequestQueue()
  /** in order of arrival: all of them arrived before any that waits */
  readonly #running: RunningRequest[] = []
  readonly #freeTableRows: number[]
  #step = 0
  #admissions = 0

  /** @throws INVALID_OPTION */
  constructor(options: EngineOptions) {
    checkSchedulerLimits(options)
    this.#options = options
    this.#rule = BUDGET_RULES[options.budgetPolicy]
    this.kv = new KvCacheManager(totalBlocks(options))
    this.#freeTableRows = Array.from({ length: options.maxNumSeqs }, (_, row) => options.maxNumSeqs - 1 - row)
  }

  /** In order of arrival. */
  get running(): readonly RunningRequest[] {
    return this.#running
  }

  /** In order of arrival. */
  get waiting(): Iterable<Request> & { readonly size: number } {
    return this.#waiting
  }

  get hasUnfinished(): boolean {
    return this.#running.length + this.#waiting.size > 0
  }

  /** The running request of this id and generation; undefined when the generation is stale. */
  find(id: number, generation: number): RunningRequest | undefined {
    return this.#running.find((running) => running.request.id === id && running.generation === generation)
  }

  add(request: Request): void {
    assert(servable(request.maxTotal, this.#options), `request ${request.id} is servable`)
    this.#waiting.push(request)
  }

  /**
   * Removes a request that ended, waiting or running, also while rows of it are in flight: steps run in order, so a later owner
   * of its blocks and table row writes after them.
   */
  remove(id: number): void {
    if (this.#waiting.remove(id)) return
    const index = this.#running.findIndex(({ request }) => request.id === id)
    const [running] = index < 0 ? [] : this.#running.splice(index, 1)
    if (running) this.#vacate(running)
  }

  /** The next step. It holds no request only when none can get a row before steps in flight have settled. */
  schedule(): SchedulerOutput {
    this.#step++
    const preempted: Request[] = []
    let dealt = this.#deal(true)
    while (!dealt.fits) {
      preempted.push(this.#preemptNewest())
      dealt = this.#deal(false)
    }
    const admitted = preempted.length === 0 ? this.#admit(dealt.step) : new Set<RunningRequest>()
    return this.#seal(dealt.step, admitted, preempted)
  }

  /** Deals rows and blocks to the running requests. `fits` is false when somebody found no block for a single row. */
  #deal(admitting: boolean): { readonly step: StepAllotment; readonly fits: boolean } {
    const { draftCharge } = this.#rule
    const step = new StepAllotment(this.#rule.budget(this.#options), this.kv.freeBlocks)
    const decoding = this.#dealBaseRows(step)
    dealDrafts(step, decoding, this.#setAside(step, admitting), draftCharge, this.#step)
    const fits = decoding.every((share) => this.#claim(step, share)) && this.#dealPrefills(step)
    return { step, fits }
  }

  /** Everybody gets one: nobody is admitted unless all who run have a row and one is left, so the budget covers them. */
  #dealBaseRows(step: StepAllotment): readonly Share[] {
    return this.#running
      .filter((running) => decodeReady(running) && wantsRows(running))
      .map((running) => step.deal(running, false, 1))
  }

  /** Rows that drafts must leave for prompts: what prompts want, at most a quarter of B, at least one. */
  #setAside(step: StepAllotment, admitting: boolean): number {
    let wanted = this.#running.reduce((sum, running) => sum + this.#chunk(prefillRemaining(running)), 0)
    if (admitting) {
      const room = step.freeBlocks - promisedBlocks(this.#running, this.kv, [])
      for (const { request, cached } of admissible(this.#waiting, this.kv, this.#freeTableRows.length, room)) {
        wanted += this.#chunk(request.tokens.length - cached.tokens)
      }
    }
    return Math.min(step.rest, wanted, Math.max(1, cdiv(this.#options.maxNumBatchedTokens, 4)))
  }

  #dealPrefills(step: StepAllotment): boolean {
    for (const running of this.#running) {
      const n = Math.min(step.rest, this.#chunk(prefillRemaining(running)))
      if (n > 0 && !this.#claim(step, step.deal(running, true, n))) return false
    }
    return true
  }

  #admit(step: StepAllotment): ReadonlySet<RunningRequest> {
    const admitted = new Set<RunningRequest>()
    let room = step.freeBlocks - promisedBlocks(this.#running, this.kv, step.shares)
    while (step.rest > 0) {
      const [candidate] = admissible(this.#waiting, this.kv, this.#freeTableRows.length, room)
      if (!candidate) break
      const running = this.#enter(candidate)
      admitted.add(running)
      const share = step.deal(running, true, Math.min(step.rest, this.#chunk(prefillRemaining(running))))
      const fits = this.#claim(step, share)
      assert(fits, `the blocks of request ${running.request.id} were counted before it was admitted`)
      room -= Math.max(candidate.blocks, share.blocks)
    }
    return admitted
  }

  #seal(step: StepAllotment, admitted: ReadonlySet<RunningRequest>, preempted: readonly Request[]): SchedulerOutput {
    const shares = step.shares.map((share) => ({ ...share, samples: samples(share) }))
    const rows = seal(this.#step, shares, step.charged, this.#rule, this.#options)
    const requests = shares.map((share) => this.#commit(share, admitted.has(share.running)))
    return {
      step: this.#step,
      requests,
      rows,
      preempted,
      cachedTokens: requests.reduce((sum, { admitted, firstPosition }) => sum + (admitted ? firstPosition : 0), 0),
      recomputedTokens: shares.reduce((sum, share) => sum + recomputedRows(share), 0),
      running: this.#running.length,
      waiting: this.#waiting.size,
      usedBlocks: this.kv.usedBlocks,
    }
  }

  /** From here on the rows are in flight. */
  #commit(share: Share & { readonly samples: boolean }, admitted: boolean): ScheduledRequest {
    const { running, prefill, firstPosition, n, k, m } = share
    const { id, maxTotal } = running.request
    const firstBlock = admitted ? 0 : this.kv.table(id).length
    this.kv.allocate(id, slotsNeeded(firstPosition, n, m, maxTotal))
    running.inFlight.push({ step: this.#step, n, k, samples: share.samples })
    running.drafts = m
    const newBlocks = this.kv.table(id).slice(firstBlock)
    return { running, prefill, admitted, firstPosition, n, k, m, samples: share.samples, firstBlock, newBlocks }
  }

  #claim(step: StepAllotment, share: Share): boolean {
    return claimBlocks(step, share, this.kv, numSpeculativeTokens(this.#options), this.#rule.draftCharge)
  }

  /** Rows of a prompt in one step at most. */
  #chunk(remaining: number): number {
    const threshold = this.#options.longPrefillTokenThreshold
    return threshold > 0 ? Math.min(remaining, threshold) : remaining
  }

  #enter({ request, cached }: Candidate): RunningRequest {
    const tableRow = this.#freeTableRows.pop()
    assert(tableRow !== undefined, 'a table row is free')
    this.#waiting.admit(request)
    this.kv.admit(request.id, cached)
    const running = new RunningRequest(request, tableRow, ++this.#admissions, cached.tokens)
    this.#running.push(running)
    return running
  }

  /** Newest first, so the oldest is never preempted and always gets on. Its KV is recomputed later. */
  #preemptNewest(): Request {
    const running = this.#running.pop()
    assert(running !== undefined, 'one request alone always finds its blocks')
    this.#vacate(running)
    const { request } = running
    request.recomputeEnd = Math.max(request.recomputeEnd, running.computed)
    this.#waiting.pushFront(request)
    return request
  }

  #vacate(running: RunningRequest): void {
    this.kv.release(running.request.id)
    this.#freeTableRows.push(running.tableRow)
  }
}

function recomputedRows({ running, prefill, firstPosition, n }: Share): number {
  return prefill ? Math.max(0, Math.min(firstPosition + n, running.request.recomputeEnd) - firstPosition) : 0
}
