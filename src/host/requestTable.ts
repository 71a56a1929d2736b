/**
 * What the step keeps of a running request from one step to the next, by table row: how many of its tokens are computed, its last
 * token and drafts, its KV blocks, how its tokens are chosen. Only plans and outcomes of steps change it.
 */

import { BLOCK_SIZE, MAX_SPECULATIVE_TOKENS } from '../core/cost.ts'
import { adjustsLogits, GREEDY } from '../core/samplingParams.ts'
import type { StepGeometry } from '../core/stepGeometry.ts'
import type { BlockWrite, PlannedRequest, TableWrite } from '../core/stepPlan.ts'
import { assert, at } from '../util/math.ts'
import { NO_SLOT } from './hostModel.ts'
import { Penalties } from './sampling/penalties.ts'
import { type RowSampling, rowSampling } from './sampling/rowSampling.ts'

export class TableRow {
  /** [maxBlocks] KV blocks in the order of the request's tokens; those that no plan gave are stale */
  readonly blocks: Int32Array
  /** proposed in the previous step, to be verified in the next */
  readonly drafts = new Int32Array(MAX_SPECULATIVE_TOKENS)
  /** tokens whose KV is valid */
  computed = 0
  /** last committed token, the input of the next base row */
  lastToken = 0
  #generation = -1
  /** rows past this position have no slot */
  #lastPosition = -1
  #sampling: RowSampling = rowSampling(GREEDY)
  #penalties: Penalties | undefined

  constructor(maxBlocks: number) {
    this.blocks = new Int32Array(maxBlocks)
  }

  get generation(): number {
    return this.#generation
  }

  get sampling(): RowSampling {
    return this.#sampling
  }

  /** undefined: the request's logits are not adjusted */
  get penalties(): Penalties | undefined {
    return this.#penalties
  }

  fill({ generation, computed, lastPosition, firstOutputPosition, sampling, history }: TableWrite): void {
    this.computed = computed
    this.#generation = generation
    this.#lastPosition = lastPosition
    this.#sampling = rowSampling(sampling)
    this.#penalties = undefined
    if (!adjustsLogits(sampling)) return
    assert(history, 'a request with penalties comes with its tokens')
    this.#penalties = new Penalties(sampling, history, firstOutputPosition)
  }

  /** The position, or the last one that has a block. */
  clamped(position: number): number {
    return Math.min(position, this.#lastPosition)
  }

  /** KV slot of a position, NO_SLOT past the last one. */
  slot(position: number): number {
    if (position > this.#lastPosition) return NO_SLOT
    return at(this.blocks, Math.floor(position / BLOCK_SIZE)) * BLOCK_SIZE + (position % BLOCK_SIZE)
  }
}

export class RequestTable {
  readonly #rows: readonly TableRow[] // [S]

  constructor({ seqs, maxBlocks }: Pick<StepGeometry, 'seqs' | 'maxBlocks'>) {
    this.#rows = Array.from({ length: seqs }, () => new TableRow(maxBlocks))
  }

  fill(write: TableWrite): void {
    at(this.#rows, write.tableRow).fill(write)
  }

  setBlock({ tableRow, index, block }: BlockWrite): void {
    const { blocks } = at(this.#rows, tableRow)
    assert(index < blocks.length, `block ${index} of a request is among its ${blocks.length}`)
    blocks[index] = block
  }

  /** The row of a planned request. */
  row({ tableRow, generation }: Pick<PlannedRequest, 'tableRow' | 'generation'>): TableRow {
    const row = at(this.#rows, tableRow)
    assert(row.generation === generation, `table row ${tableRow} is of generation ${generation}, not ${row.generation}`)
    return row
  }
}
