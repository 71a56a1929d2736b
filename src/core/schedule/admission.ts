/**
 * Chooses the waiting requests to admit, in scheduling order: while a table row is free, and the blocks of the whole known
 * sequence are free beside those that running prefills still need. Admitting by the first chunk alone would thrash: preempt and
 * recompute without end.
 *
 * A request that does not fit may be overtaken a bounded number of times. A request whose prefix another one is computing waits
 * until it is in the cache.
 */

import type { EngineOptions } from '../../protocol/engineOptions.ts'
import { admissionBlocks, BLOCK_SIZE, blocksNeeded, chunkRows } from '../cost.ts'
import type { CachedPrefix, KvCacheManager } from '../kv/kvCacheManager.ts'
import type { Request, RunningRequest } from '../request.ts'
import type { RequestQueue } from './requestQueue.ts'
import type { RunningSet } from './runningSet.ts'
import type { WaitReason } from './schedulerOutput.ts'

/** M: how often a request that does not fit is overtaken, and how many of them one step looks past. */
export const MAX_OVERTAKES = 8

export interface Candidate {
  readonly request: Request
  readonly cached: CachedPrefix
}

/** What a step has left for requests to admit. */
export interface StepCapacity {
  rowsLeft: number
  freeBlocks: number
  pendingPrefillBlocks: number
  partialPrefills: number
}

/** What admission depends on besides the step. */
export interface AdmissionState {
  readonly waiting: RequestQueue
  readonly running: RunningSet
  readonly kv: KvCacheManager
  readonly options: Pick<
    EngineOptions,
    'kvCacheTokens' | 'watermark' | 'maxNumPartialPrefills' | 'longPrefillTokenThreshold'
  >
}

/** The admissions of one step: a throw-away object. */
export class AdmissionRound {
  readonly #state: AdmissionState
  readonly #capacity: StepCapacity
  /** requests that were looked at and stay */
  readonly #passed: Request[] = []
  /** requests that `wantedRows` takes for admitted */
  #assumedAdmitted = 0
  #waitReason: WaitReason | undefined

  /** @param capacity read at each call; written by `wantedRows` alone */
  constructor(state: AdmissionState, capacity: StepCapacity) {
    this.#state = state
    this.#capacity = capacity
  }

  /** Why the first request that stays does so; undefined if none was refused. */
  get waitReason(): WaitReason | undefined {
    return this.#waitReason
  }

  /** The next request that may be admitted, if any. */
  next(): Candidate | undefined {
    while (!this.#mayNotOvertake()) {
      const request = this.#state.waiting.at(this.#passed.length + this.#assumedAdmitted)
      if (!request) return undefined
      const full = this.#noCapacityReason()
      if (full) {
        this.#waitReason ??= full
        return undefined
      }
      const cached = this.#state.kv.findCached(request)
      const waitReason = this.#waitReasonOf(request, cached)
      if (!waitReason) return { request, cached }
      this.#waitReason ??= waitReason
      this.#passed.push(request)
    }
    return undefined
  }

  /** The request of the latest `next()` was admitted, before those that keep waiting. */
  admitted(): void {
    for (const { schedulingState } of this.#passed) schedulingState.overtaken++
  }

  /** Rows that waiting requests could use, counted up to `enough`. Call it last: it counts requests as admitted. */
  wantedRows(enough: number): number {
    const { longPrefillTokenThreshold } = this.#state.options
    let wanted = 0
    while (wanted < enough) {
      const candidate = this.next()
      if (!candidate) break
      const { request, cached } = candidate
      wanted += chunkRows(request.tokens.length - cached.tokens, longPrefillTokenThreshold)
      this.#capacity.pendingPrefillBlocks += blocksNeeded(request.tokens.length) - cached.held
      this.#assumedAdmitted++
    }
    return Math.min(wanted, enough)
  }

  /** Whether no request may overtake those that stay. */
  #mayNotOvertake(): boolean {
    const passed = this.#passed
    return (
      passed.length > MAX_OVERTAKES || passed.some(({ schedulingState }) => schedulingState.overtaken >= MAX_OVERTAKES)
    )
  }

  /** Why no request can be admitted, whatever its length; checked before any prefix is looked up. */
  #noCapacityReason(): WaitReason | undefined {
    if (this.#state.running.freeSlots <= this.#assumedAdmitted) return 'slots'
    return this.#capacity.rowsLeft <= 0 ? 'rows' : undefined
  }

  #waitReasonOf(request: Request, cached: CachedPrefix): WaitReason | undefined {
    const { running, options } = this.#state
    const { rowsLeft, freeBlocks, pendingPrefillBlocks, partialPrefills } = this.#capacity
    const blocks = admissionBlocks(request.tokens.length, running.size + this.#assumedAdmitted, options) - cached.held
    if (blocks > freeBlocks - pendingPrefillBlocks) return 'blocks'
    const remaining = request.tokens.length - cached.tokens
    const partial = remaining > Math.min(rowsLeft, chunkRows(remaining, options.longPrefillTokenThreshold))
    const { maxNumPartialPrefills } = options
    if (partial && maxNumPartialPrefills > 0 && partialPrefills >= maxNumPartialPrefills) return 'partialPrefills'
    if (request.schedulingState.overtaken < MAX_OVERTAKES && this.#isBeingComputed(request, cached))
      return 'sharedPrefix'
    return undefined
  }

  /** Whether a running request is about to compute the first block that this one misses. */
  #isBeingComputed(request: Request, { tokens }: CachedPrefix): boolean {
    const { kv, running } = this.#state
    const index = tokens / BLOCK_SIZE
    const key = kv.blockKey(request, index)
    if (key === undefined) return false
    const computes = (one: RunningRequest): boolean =>
      one.computed < one.prefillEnd && one.computed < tokens + BLOCK_SIZE && kv.blockKey(one.request, index) === key
    return running.ordered.some(computes)
  }
}
