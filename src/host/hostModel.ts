/**
 * What the host step asks of a model: three passes over rows, each with its inputs and outputs in host memory. It must never know
 * requests, sampling or verification.
 */

/** Consecutive rows of one request, at consecutive positions. */
export interface RowRun {
  readonly firstRow: number
  readonly rows: number
  /** position of the first row; each row attends to positions 0…its own */
  readonly position: number
  /** KV blocks of the request in the order of its tokens, at least up to the last row's */
  readonly blocks: Int32Array
}

/** The slot of a row whose K and V are not stored. */
export const NO_SLOT = -1

/** Rows of one pass; of the arrays the first `count` entries are used. */
export interface RowBatch {
  readonly count: number
  readonly ids: Int32Array
  readonly positions: Int32Array
  /** KV slot: block · BLOCK_SIZE + offset, or NO_SLOT */
  readonly slots: Int32Array
  /** cover rows 0…count - 1 in order */
  readonly runs: readonly RowRun[]
}

export interface HostModel {
  /**
   * Runs the target model: stores K and V of every row and, where there is a drafter, its final hidden state, by slot.
   * @param sampled rows whose logits are needed
   * @returns [sampled.length][vocabSize], valid until the next call; the caller may change it
   */
  forward(rows: RowBatch, sampled: Int32Array): Promise<Float32Array>
  /**
   * Computes the drafter's K and V of rows whose hidden states an earlier or this step's `forward` stored at their slots.
   * `ids` are the tokens that follow each row.
   */
  kvPass(rows: RowBatch): Promise<void>
  /**
   * Runs the drafter's block on one row per drafting request, each a run of its own.
   * @param sources the rows of the latest `kvPass` to go on from, whose K and V are stored already; undefined: after the previous
   * draft pass, with `ids` the drafts that it returned
   * @returns the draft of each row: the most likely token, 0 where no logit is finite
   */
  draft(rows: RowBatch, sources: Int32Array | undefined): Promise<Int32Array>
}
