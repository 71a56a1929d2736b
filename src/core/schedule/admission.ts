/**
 * Which waiting requests come in, in the order of their standing: while a table row is free and the whole known sequence fits
 * beside what prompts under way still need. Admitting on the first chunk alone would preempt and recompute without end.
 *
 * A request that does not fit may be overtaken, but only so often. One whose prefix another request is computing just now
 * lets that one finish and then finds the prefix in the cache.
 */

import type { EngineOptions } from '../../protocol/engineOptions.ts'
import { admissionBlocks, BLOCK_SIZE, blocksNeeded, chunkRows } from '../cost.ts'
import type { CachedPrefix, KvCacheManager } from '../kv/kvCacheManager.ts'
import type { Request, RunningRequest } from '../request.ts'
import type { RequestQueue } from './requestQueue.ts'
import type { RunningSet } from './runningSet.ts'
import type { Obstacle } from './schedulerOutput.ts'

/** M: how often a request that does not fit is overtaken, and how many of them one step looks past. */
export const MAX_OVERTAKES = 8

export interface Candidate {
  readonly request: Request
  readonly cached: CachedPrefix
}

/** What a step has for those who come in. */
export interface StepRoom {
  rest: number
  freeBlocks: number
  promisedBlocks: number
  partialPrefills: number
}

/** What admission goes by, beside the step. */
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
  readonly #room: StepRoom
  /** requests that were looked at and stay */
  readonly #passed: Request[] = []
  /** requests that `wantedRows` takes for admitted */
  #supposed = 0
  #obstacle: Obstacle | undefined

  /** @param room read at each call; written by `wantedRows` alone */
  constructor(state: AdmissionState, room: StepRoom) {
    this.#state = state
    this.#room = room
  }

  /** Why the first request that stays does so; undefined if none was refused. */
  get obstacle(): Obstacle | undefined {
    return this.#obstacle
  }

  /** The next request that may come in, if any. */
  next(): Candidate | undefined {
    while (!this.#barred()) {
      const request = this.#state.waiting.at(this.#passed.length + this.#supposed)
      if (!request) return undefined
      const full = this.#full()
      if (full) {
        this.#obstacle ??= full
        return undefined
      }
      const cached = this.#state.kv.findCached(request)
      const obstacle = this.#obstacleOf(request, cached)
      if (!obstacle) return { request, cached }
      this.#obstacle ??= obstacle
      this.#passed.push(request)
    }
    return undefined
  }

  /** The request of the latest `next()` left the queue, past those that stay. */
  admitted(): void {
    for (const { standing } of this.#passed) standing.overtaken++
  }

  /** Rows that waiting requests could use, counted up to `enough`. Nothing changes, but this round is used up. */
  wantedRows(enough: number): number {
    const { longPrefillTokenThreshold } = this.#state.options
    let wanted = 0
    while (wanted < enough) {
      const candidate = this.next()
      if (!candidate) break
      const { request, cached } = candidate
      wanted += chunkRows(request.tokens.length - cached.tokens, longPrefillTokenThreshold)
      this.#room.promisedBlocks += blocksNeeded(request.tokens.length) - cached.held
      this.#supposed++
    }
    return Math.min(wanted, enough)
  }

  /** Whether nobody may pass those that stay. */
  #barred(): boolean {
    const passed = this.#passed
    return passed.length > MAX_OVERTAKES || passed.some(({ standing }) => standing.overtaken >= MAX_OVERTAKES)
  }

  /** Why nobody at all can come in; asked before any prefix is looked up. */
  #full(): Obstacle | undefined {
    if (this.#state.running.freeSlots <= this.#supposed) return 'slots'
    return this.#room.rest <= 0 ? 'rows' : undefined
  }

  #obstacleOf(request: Request, cached: CachedPrefix): Obstacle | undefined {
    const { running, options } = this.#state
    const { rest, freeBlocks, promisedBlocks, partialPrefills } = this.#room
    const blocks = admissionBlocks(request.tokens.length, running.size + this.#supposed, options) - cached.held
    if (blocks > freeBlocks - promisedBlocks) return 'blocks'
    const remaining = request.tokens.length - cached.tokens
    const partial = remaining > Math.min(rest, chunkRows(remaining, options.longPrefillTokenThreshold))
    const { maxNumPartialPrefills } = options
    if (partial && maxNumPartialPrefills > 0 && partialPrefills >= maxNumPartialPrefills) return 'partialPrefills'
    if (request.standing.overtaken < MAX_OVERTAKES && this.#isBeingComputed(request, cached)) return 'sharedPrefix'
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
