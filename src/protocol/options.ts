/**
 * What a page passes to `LLM.load` and `generate`. Plain data, no behaviour. With AbortSignal in it, so the core, which
 * compiles without the DOM, cannot read it.
 */

import type { Backend, KvCacheDtype, Quantization, SchedulingPolicy, SpeculativeMethod } from './engineOptions.ts'
import type { SamplingFields } from './request.ts'
import type { BudgetPolicy, StepRecord } from './stepRecord.ts'

export type {
  Backend,
  EngineOptions,
  KvCacheDtype,
  Quantization,
  SchedulingPolicy,
  SpeculativeMethod,
  SpeculativeOptions,
} from './engineOptions.ts'

export interface DebugOptions {
  /** per returned token: 16 hex digits over the raw logits row it was chosen from, or the row itself */
  readonly logits?: 'digest' | 'full'
  /** per step of a request: what was verified, accepted and proposed */
  readonly steps?: boolean
  /** every step's decisions and inputs, prompts included, for `llm.trace()`; grows with the steps run */
  readonly trace?: boolean
}

export interface LoadProgress {
  readonly phase: 'fetch' | 'upload' | 'compile' | 'ready'
  readonly file: string
  /** bytes, except in `compile`: pipelines */
  readonly loaded: number
  readonly total: number
}

export interface SpeculativeLoadOptions {
  /** `mtp` needs a model with a multi-token-prediction head; `ngram` needs nothing */
  readonly method: SpeculativeMethod
  /** the most drafts proposed for a request in one step, 0…4 */
  readonly numSpeculativeTokens: number
  /** default true: as many drafts as pay by measured times and acceptance, none if none do; false: always the most */
  readonly adaptive?: boolean
  /**
   * of `mtp`: draft from so many tokens of the vocabulary, the most frequent ones, which makes drafts cheaper and leaves answers
   * as they are; default all
   */
  readonly draftVocabSize?: number
  /** of `mtp`: a JSON array of token ids, most frequent first, as a URL relative to the model's folder; default: the tokenizer's order */
  readonly draftVocabFile?: string
  /** of `ngram`: tokens that must be found again, at least and at most; default 2 and 4 */
  readonly promptLookupMin?: number
  readonly promptLookupMax?: number
}

/** Where the engine's worker comes from. Without these it is found beside the library, or made of a copy in it. */
export interface WorkerOptions {
  /**
   * a worker of the page's own, or a function that starts one; its script imports `weir-llm/worker`. One that a function has
   * started is terminated when it is no longer needed, and a worker that is given stays as it is.
   */
  readonly worker?: Worker | (() => Worker)
  /** the folder where the page serves the files of the package's `dist`; relative to the document's base; default: beside the library */
  readonly assets?: URL | string
}

/** What a caller may pass to `LLM.load`; every field is optional. */
export interface LoadOptions extends WorkerOptions {
  readonly backend?: Backend
  readonly maxNumBatchedTokens?: number
  readonly maxNumSeqs?: number
  readonly maxModelLen?: number
  readonly kvCacheTokens?: number
  readonly speculative?: SpeculativeLoadOptions | undefined
  readonly budgetPolicy?: BudgetPolicy
  readonly quantization?: Quantization
  readonly kvCacheDtype?: KvCacheDtype
  readonly enablePrefixCaching?: boolean
  readonly longPrefillTokenThreshold?: number
  readonly maxNumPartialPrefills?: number
  readonly schedulingPolicy?: SchedulingPolicy
  readonly priorityAgingTokens?: number
  readonly watermark?: number
  readonly penalties?: boolean
  readonly debug?: DebugOptions
  readonly onProgress?: (progress: LoadProgress) => void
  readonly onStep?: (record: StepRecord) => void
  readonly signal?: AbortSignal
}

/** What `generate` takes beside the prompt. */
export interface GenerateOptions extends SamplingFields {
  /** aborts the request: iteration and `result()` reject with ABORTED, parts that came before it stay */
  readonly signal?: AbortSignal
}
