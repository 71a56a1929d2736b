/**
 * A request, and what it is while it runs. `Request` is what must outlive a preemption or a lost device: everything the device
 * holds of it can be rebuilt from there. `RunningRequest` is made at admission and dropped at preemption or end. Neither knows
 * text, stop conditions or who asked.
 *
 * While steps are in flight the core knows two bounds: of computed tokens (every draft in flight rejected, every one accepted)
 * and of committed ones. Slots, blocks and length limits go by the upper bound; with nothing in flight the two meet.
 */

import { assert } from '../util/math.ts'
import type { SamplingParams } from './samplingParams.ts'

export class Request {
  readonly id: number
  readonly sampling: SamplingParams
  readonly promptLength: number
  /** tokens at its end at the latest: its last possible position is one less */
  readonly maxTotal: number
  /** committed: the prompt, then the output */
  readonly tokens: number[]
  /** tokens before it were computed once already and lost to a preemption */
  recomputeEnd = 0

  constructor(id: number, promptTokenIds: readonly number[], maxTotal: number, sampling: SamplingParams) {
    assert(promptTokenIds.length > 0 && promptTokenIds.length < maxTotal, `request ${id} has room for a token`)
    this.id = id
    this.sampling = sampling
    this.promptLength = promptTokenIds.length
    this.maxTotal = maxTotal
    this.tokens = [...promptTokenIds]
  }

  get outputLength(): number {
    return this.tokens.length - this.promptLength
  }
}

/** Rows of a request that were submitted and whose outcome is not known yet. */
export interface InFlightRows {
  readonly step: number
  readonly n: number
  readonly k: number
  readonly samples: boolean
}

export class RunningRequest {
  readonly request: Request
  /** its permanent row of the request table */
  readonly tableRow: number
  /** counts admissions of all requests: an answer for another generation is stale */
  readonly generation: number
  /** the tokens known at admission; rows before it are prefill rows, even of tokens that were output once */
  readonly prefillEnd: number
  /** tokens whose KV is valid, as far as is confirmed */
  computed: number
  /** drafts that its latest step proposed */
  drafts = 0
  /** oldest first */
  readonly inFlight: InFlightRows[] = []

  constructor(request: Request, tableRow: number, generation: number, computed: number) {
    this.request = request
    this.tableRow = tableRow
    this.generation = generation
    this.prefillEnd = request.tokens.length
    this.computed = computed
  }

  /** Takes the outcome of the oldest rows in flight: the KV of rejected drafts is stale and will be overwritten. */
  settle(accepted: number): void {
    const rows = this.inFlight.shift()
    assert(
      rows !== undefined && accepted >= 0 && accepted <= rows.k,
      `request ${this.request.id}: ${accepted} accepted`,
    )
    this.computed += rows.n - (rows.k - accepted)
  }
}

/** Computed tokens when every draft in flight is rejected. */
export function computedMin({ computed, inFlight }: RunningRequest): number {
  return inFlight.reduce((sum, { n, k }) => sum + n - k, computed)
}

/** Computed tokens when every draft in flight is accepted. */
export function computedMax({ computed, inFlight }: RunningRequest): number {
  return inFlight.reduce((sum, { n }) => sum + n, computed)
}

/** Committed tokens when every draft in flight is rejected. */
export function committedMin({ request, inFlight }: RunningRequest): number {
  return inFlight.reduce((sum, { samples }) => sum + (samples ? 1 : 0), request.tokens.length)
}

/** Committed tokens when every draft in flight is accepted. */
export function committedMax({ request, inFlight }: RunningRequest): number {
  return inFlight.reduce((sum, { k, samples }) => sum + (samples ? k + 1 : 0), request.tokens.length)
}

/** Whether its known tokens are computed but for the last one, so that its next row is a base row. */
export function decodeReady(running: RunningRequest): boolean {
  return computedMin(running) >= running.prefillEnd
}

/** Whether it may get a row: at its length limit it only waits for what is in flight. */
export function wantsRows(running: RunningRequest): boolean {
  return committedMax(running) < running.request.maxTotal
}

/** Prefill rows it still needs; 0 of a decoding request. */
export function prefillRemaining(running: RunningRequest): number {
  return Math.max(0, running.prefillEnd - computedMax(running))
}
