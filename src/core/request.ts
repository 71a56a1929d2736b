/**
 * A request, and its state while it runs. `Request` outlives a preemption and a lost device: everything the device holds of it can
 * be rebuilt from it. `RunningRequest` is made at admission and dropped at preemption or end. Neither knows text, stop conditions
 * or the caller.
 *
 * While steps are in flight the core knows two bounds: of computed tokens (every draft in flight rejected, every one accepted)
 * and of committed ones. Slots, blocks and length limits go by the upper bound; with nothing in flight the two meet.
 */

import { assert } from '../util/math.ts'
import { blocksNeeded } from './cost.ts'
import type { SamplingParams } from './samplingParams.ts'
import type { SchedulingState } from './schedule/schedulingState.ts'

/** A request after defaults and checks. */
export interface RequestSpec {
  readonly id: number
  readonly promptTokenIds: readonly number[]
  /** tokens at its end at the latest, prompt and output: its last possible position is one less */
  readonly maxTotal: number
  readonly sampling: SamplingParams
  /** lower comes first; always 0 under `fcfs` */
  readonly priority: number
  /** cached KV is shared under the same salt alone */
  readonly cacheSalt: string | undefined
  /** drafts in one step at most; undefined: the engine's */
  readonly maxDrafts?: number | undefined
}

export class Request {
  readonly spec: RequestSpec
  /** given by the scheduler */
  readonly schedulingState: SchedulingState
  /** committed: the prompt, then the output */
  readonly tokens: number[]
  /** chained hashes of its full blocks, as far as they were needed; the KV cache manager's */
  readonly blockHashes: number[] = []
  /** tokens before it were computed once already and lost to a preemption */
  recomputeEnd = 0

  constructor(spec: RequestSpec, schedulingState: SchedulingState) {
    const { id, promptTokenIds, maxTotal } = spec
    assert(promptTokenIds.length > 0 && promptTokenIds.length < maxTotal, `request ${id} has room for a token`)
    this.spec = spec
    this.schedulingState = schedulingState
    this.tokens = [...promptTokenIds]
  }

  get id(): number {
    return this.spec.id
  }

  get maxTotal(): number {
    return this.spec.maxTotal
  }

  get promptLength(): number {
    return this.spec.promptTokenIds.length
  }

  get outputLength(): number {
    return this.tokens.length - this.promptLength
  }
}

/** Rows of a request that were submitted and whose outcome is not known yet. */
export interface InFlightRows {
  readonly n: number
  readonly k: number
  readonly samples: boolean
}

/** A request's rows in the drafter's KV pass of the same step. */
export interface DrafterRows {
  /** rows of earlier steps, from `drafterMissingFrom` on */
  readonly catchUp: number
  /** whether this step's rows are in the pass too, with no position missing before them */
  readonly inKvPass: boolean
}

export class RunningRequest {
  readonly request: Request
  /** its permanent row of the request table */
  readonly tableRow: number
  /** counts admissions of all requests: an answer for another generation is stale */
  readonly generation: number
  /** the tokens known at admission; rows before it are prefill rows, even of tokens that were output once */
  readonly prefillEnd: number
  /** its block table, which the KV cache manager appends to */
  readonly blocks: readonly number[]
  /** tokens whose KV is valid, as far as is confirmed */
  computed: number
  /** drafts that wait to be verified: those its latest step proposed on the device, or `proposal` */
  drafts = 0
  /** drafts that go with the plan; undefined: the device has them */
  proposal: readonly number[] | undefined
  /** the first computed position whose K and V the drafter lacks; undefined: it has all, or will have with what is in flight */
  drafterMissingFrom: number | undefined
  /** oldest first */
  readonly #inFlight: InFlightRows[] = []
  // Sums over the rows in flight.
  #rows = 0
  #drafts = 0
  #samples = 0

  constructor(request: Request, tableRow: number, generation: number, computed: number, blocks: readonly number[]) {
    this.request = request
    this.tableRow = tableRow
    this.generation = generation
    this.prefillEnd = request.tokens.length
    this.computed = computed
    this.blocks = blocks
    this.drafterMissingFrom = computed > 0 ? 0 : undefined
  }

  /** Blocks to append before `tokens` tokens have a slot. */
  missingBlocks(tokens: number): number {
    return Math.max(0, blocksNeeded(tokens) - this.blocks.length)
  }

  /** Steps whose outcome is not known yet. */
  get stepsInFlight(): number {
    return this.#inFlight.length
  }

  /** Computed tokens when every draft in flight is rejected. */
  get computedMin(): number {
    return this.computed + this.#rows - this.#drafts
  }

  /** Computed tokens when every draft in flight is accepted. */
  get computedMax(): number {
    return this.computed + this.#rows
  }

  /** Committed tokens when every draft in flight is rejected. */
  get committedMin(): number {
    return this.request.tokens.length + this.#samples
  }

  /** Committed tokens when every draft in flight is accepted. */
  get committedMax(): number {
    return this.request.tokens.length + this.#samples + this.#drafts
  }

  /** Whether its known tokens are computed but for the last one, so that its next row is a base row. */
  get decodeReady(): boolean {
    return this.computedMin >= this.prefillEnd
  }

  /** Whether it may get a row: at its length limit it only waits for what is in flight. */
  get wantsRows(): boolean {
    return this.committedMax < this.request.maxTotal
  }

  /** Prefill rows it still needs; 0 of a decoding request. */
  get prefillRemaining(): number {
    return Math.max(0, this.prefillEnd - this.computedMax)
  }

  /** Drafts that its next step may verify: those proposed, trimmed so that after them there is a token to sample. */
  get usableDrafts(): number {
    return Math.max(0, Math.min(this.drafts, this.request.maxTotal - this.committedMax - 1))
  }

  /** Drafts that its next step could propose with use: the step after that needs a base row and a token beyond them. */
  get maxUsefulDrafts(): number {
    return Math.max(0, this.request.maxTotal - this.committedMin - 2)
  }

  /** Computed tokens whose K and V the drafter lacks. It cannot draft before it has caught up. */
  get drafterLag(): number {
    return this.drafterMissingFrom === undefined ? 0 : this.computedMin - this.drafterMissingFrom
  }

  /** The drafter has K and V of at least so many tokens, perhaps through a shared block. */
  drafterHasComputed(tokens: number): void {
    if (this.drafterMissingFrom === undefined || this.drafterMissingFrom >= tokens) return
    this.drafterMissingFrom = tokens < this.computedMin ? tokens : undefined
  }

  /** Takes drafts that were proposed on the host. */
  propose(drafts: readonly number[]): void {
    this.proposal = drafts
    this.drafts = drafts.length
  }

  /** Rows that leave for the runner. */
  begin(rows: InFlightRows & DrafterRows): void {
    this.drafterMissingFrom = rows.inKvPass ? undefined : (this.drafterMissingFrom ?? this.computedMin) + rows.catchUp
    this.#inFlight.push(rows)
    this.#rows += rows.n
    this.#drafts += rows.k
    if (rows.samples) this.#samples++
  }

  /** Takes the outcome of the oldest rows in flight: the KV of rejected drafts is stale and will be overwritten. */
  settle(accepted: number): void {
    const rows = this.#inFlight.shift()
    assert(
      rows !== undefined && accepted >= 0 && accepted <= rows.k,
      `request ${this.request.id}: ${accepted} accepted`,
    )
    this.#rows -= rows.n
    this.#drafts -= rows.k
    if (rows.samples) this.#samples--
    this.computed += rows.n - (rows.k - accepted)
  }
}
