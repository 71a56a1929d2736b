/**
 * What a page passes to `LLM.load` and `generate`. Plain data, no behaviour. With AbortSignal in it, so the core, which
 * compiles without the DOM, cannot read it.
 */

import type { BackendName, KvCacheDtype, Quantization, SchedulingPolicy, SpeculativeMethod } from './engineOptions.ts'
import type { Prompt, SamplingFields } from './request.ts'
import type { BudgetPolicy, StepRecord } from './stepRecord.ts'

export type {
  BackendName,
  EngineOptions,
  KvCacheDtype,
  LoadedOptions,
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

/**
 * What does not keep a model from loading, but its user should know. `NO_TOKENIZER`: the model has no tokenizer.json, so it takes
 * and gives token ids alone.
 */
export interface LoadWarning {
  readonly code: 'NO_TOKENIZER'
  readonly message: string
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
  /** of `ngram`: tokens that must be found again, at least; default 2 */
  readonly promptLookupMin?: number
  /** of `ngram`: and at most; default 4 */
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

/** What the engine runs on. */
export interface BackendOptions {
  /** default `auto`: a hardware GPU, else `wasm`, the processor; a software adapter, which is slower, only with `webgpu` */
  readonly backend?: BackendName | 'auto'
  /** of `wasm`: threads where the page is cross-origin isolated, else one; default: half of the processor's, at most 4 */
  readonly numThreads?: number
}

/** What a caller may pass to `LLM.load`; every field is optional. */
export interface LoadOptions extends WorkerOptions, BackendOptions {
  /**
   * B: the most token rows in a step, the size of every per-row buffer; default 256 on a GPU; on `wasm` as many as take about
   * 100 ms, from 16 to 256
   */
  readonly maxNumBatchedTokens?: number
  /** S: the most requests running at once, at most `maxNumBatchedTokens`; default 16 */
  readonly maxNumSeqs?: number
  /** the most tokens of a request, prompt and output together; default 1024, or what the model has if that is less */
  readonly maxModelLen?: number
  /** tokens that the KV cache holds, rounded down to blocks of 16; at least `maxModelLen`; default 8192 */
  readonly kvCacheTokens?: number
  /** speculative decoding; default off */
  readonly speculative?: SpeculativeLoadOptions | undefined
  /** how a step's rows are charged against `maxNumBatchedTokens`; default `exact`, the others are there to compare */
  readonly budgetPolicy?: BudgetPolicy
  /** number format of the KV cache; default `f16`, `f32` takes twice the memory and holds numbers beyond 65504; on `wasm` `f32` alone */
  readonly kvCacheDtype?: KvCacheDtype
  /**
   * `int8` and `int4` quantise the matrices of a model in bf16, f16 or f32 while it is loaded, 8.5 and 4.5 bits a weight (under `int4`
   * the LM head has 8); a model that is quantised already is refused. `w8a8`, of `wasm` alone, keeps matrices as 8-bit integers, a
   * quarter of the memory, and quantises activations row by row: about two of a hundred tokens differ from what f32 would choose.
   * Default `none`: as the model's files have them
   */
  readonly quantization?: Quantization
  /** find the KV of equal beginnings of prompts again; default true */
  readonly enablePrefixCaching?: boolean
  /** the most rows of one request's prompt in a step; default 0: no bound but `maxNumBatchedTokens` */
  readonly longPrefillTokenThreshold?: number
  /** the most requests whose prompts are unfinished after a step; default 0: no bound but `maxNumSeqs` */
  readonly maxNumPartialPrefills?: number
  /** which waiting request comes first; default `fcfs`, the one that arrived first */
  readonly schedulingPolicy?: SchedulingPolicy
  /** of `priority`: rows run while a request waits that are worth one level; default 8192 */
  readonly priorityAgingTokens?: number
  /** the part of the KV blocks that stays free when a request is admitted beside others, from 0 to below 1; default 0.01 */
  readonly watermark?: number
  /** plan memory for penalties and logit bias, about a row of logits per running request; default true */
  readonly penalties?: boolean
  /** what is recorded beside the answers, for tests; default nothing */
  readonly debug?: DebugOptions
  /** called as loading goes on */
  readonly onProgress?: (progress: LoadProgress) => void
  /** called after every step with what it ran */
  readonly onStep?: (record: StepRecord) => void
  /** called before the load settles, once per warning; default: `console.warn` */
  readonly onWarning?: (warning: LoadWarning) => void
  /** aborts the load, which then rejects with ABORTED; of any window */
  readonly signal?: AbortSignal
}

/** A text, or token ids. */
export type PromptInput = Prompt | { readonly prompt_token_ids: Int32Array | Uint32Array | Uint16Array }

/** Each field may be null too, which is as good as missing: OpenAI's clients send it so. */
type OrNull<T> = { readonly [Field in keyof T]?: T[Field] | null | undefined }

/** What `generate` takes beside the prompt. */
export interface GenerateOptions extends OrNull<SamplingFields> {
  /** aborts the request: iteration and `result()` reject with ABORTED, what had come by then in its `partial`; of any window */
  readonly signal?: AbortSignal | null | undefined
}
