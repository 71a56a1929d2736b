/**
 * What the engine asks of a runner in one step: plain data, no behaviour.
 *
 * A request owns a permanent row of the runner's request table while it runs. The table holds what a decoding request needs
 * next (its computed count, last token and drafts), so a plan names the row and never waits for those values to come back.
 * The plan is what the scheduler decided; how a runner packs it for its kernels is the runner's business.
 */

import type { StepTimes } from '../protocol/stepRecord.ts'
import type { SamplingParams } from './samplingParams.ts'

/** Which drafts count, for tests: none, or all of them, which changes the answer. Otherwise those that equal what is sampled. */
export type Verification = 'none' | 'all'

export interface PlannedRequest {
  readonly requestId: number
  /** its permanent row of the request table, 0…S-1 */
  readonly tableRow: number
  /** counts admissions; an answer for another generation is stale */
  readonly generation: number
  /** rows in this step: 1 + k of a decoding request, or its chunk */
  readonly n: number
  /** drafts verified in this step */
  readonly k: number
  /** drafts to propose at the end of this step; 0 unless it samples */
  readonly m: number
  /** its last row (and, with drafts, its last k + 1 rows) are sampled */
  readonly samples: boolean
  /** position of its first row: exact for a chunk, the upper bound for a decoding request */
  readonly firstPosition: number
  /** the ids of its chunk, n of them; undefined for a decoding request, whose ids the table holds */
  readonly ids: readonly number[] | undefined
  /** drafts to verify that come with the plan (n-gram, tests), k of them; undefined: the table's */
  readonly drafts: readonly number[] | undefined
  /** undefined: exact */
  readonly verification?: Verification
  /** the known token after a chunk that does not sample; -1 where the step samples it */
  readonly nextToken: number
  /** whether the request's rows of this step are in the drafter's KV pass */
  readonly inKvPass: boolean
  /** position of the first row of earlier steps in the drafter's KV pass */
  readonly catchUpFrom: number
  /** one per such row: the token after it */
  readonly catchUpTokens: readonly number[]
}

/** Fills a row of the request table before the step. */
export interface TableWrite {
  readonly tableRow: number
  readonly generation: number
  /** tokens whose KV is valid at admission */
  readonly computed: number
  /** rows and slots past this position are skipped */
  readonly lastPosition: number
  /** position of the first output token */
  readonly firstOutputPosition: number
  readonly sampling: SamplingParams
  /** its known tokens, where `adjustsLogits(sampling)`; the runner counts on from here */
  readonly history: readonly number[] | undefined
}

/** Appends a block to the block table of a row. */
export interface BlockWrite {
  readonly tableRow: number
  /** index of the block in the request's table */
  readonly index: number
  readonly block: number
}

export interface StepPlan {
  readonly step: number
  /** real rows: the sum of n */
  readonly rows: number
  /** rows whose logits are needed */
  readonly sampledRows: number
  /** rows of the drafter's KV pass */
  readonly kvPassRows: number
  readonly requests: readonly PlannedRequest[]
  readonly tableWrites: readonly TableWrite[]
  readonly blockWrites: readonly BlockWrite[]
}

/** What came of one request of a step. */
export interface RequestOutput {
  readonly requestId: number
  readonly generation: number
  /** drafts accepted, 0…k */
  readonly accepted: number
  /** the accepted drafts and the token after them, accepted + 1 of them; none of a chunk in the middle */
  readonly tokens: readonly number[]
  /** the drafts that were verified, k of them */
  readonly verified: readonly number[]
  /** the drafts proposed for the next step, m of them */
  readonly proposed: readonly number[]
  /** with `debug.logits`, one per token: a digest of 16 hex digits, or the raw logits */
  readonly logits?: readonly (string | Float32Array)[]
  /** a sampled row held a logit that is not finite: the request ends with NUMERIC_ERROR and `tokens` is empty */
  readonly numericError?: true
}

export interface StepOutput {
  readonly step: number
  /** rows the runner really encoded */
  readonly encodedRows: number
  /** in the order of the plan's requests */
  readonly requests: readonly RequestOutput[]
  /** as in a step's record */
  readonly ms: Pick<StepTimes, 'encode' | 'wait' | 'gpu' | 'draft'>
}
