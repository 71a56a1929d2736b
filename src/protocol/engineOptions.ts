/**
 * Engine options as resolved. Names are vLLM's in camelCase. Plain data, no behaviour, and no type of the browser: the core,
 * which compiles without the DOM, reads them.
 */

import type { BudgetPolicy } from './stepRecord.ts'

/** Number format of the KV cache; `f16` holds numbers up to 65504. */
export type KvCacheDtype = 'f16' | 'f32'

/** What computes a step: the GPU, or the processor through ONNX Runtime's WebAssembly build. */
export type BackendName = 'webgpu' | 'wasm'

/**
 * How weights are kept and multiplied. `none`: as the model has them. `int8`, `int4`: matrices that the model has in bf16, f16 or f32
 * are quantised while they are loaded, to integers with a scale per 32 inputs. `w8a8`: 8-bit integers with a scale per output, times
 * activations that are quantised likewise, row by row.
 */
export type Quantization = 'none' | 'int8' | 'int4' | 'w8a8'

export const QUANTIZATIONS: readonly Quantization[] = ['none', 'int8', 'int4', 'w8a8']

/**
 * Which waiting request comes in first. `fcfs`: the one that arrived first. `priority`: the one of the lowest number, where
 * every `priorityAgingTokens` rows that the engine has run since its arrival are worth one level.
 */
export type SchedulingPolicy = 'fcfs' | 'priority'

export const SCHEDULING_POLICIES: readonly SchedulingPolicy[] = ['fcfs', 'priority']

/** Who proposes drafts: the model's own multi-token-prediction head, or what followed the same tokens earlier in the text. */
export type SpeculativeMethod = 'mtp' | 'ngram'

export const SPECULATIVE_METHODS: readonly SpeculativeMethod[] = ['mtp', 'ngram']

interface DraftOptions {
  /** the most drafts proposed for a request in one step, 0…4 */
  readonly numSpeculativeTokens: number
  /** choose the number of drafts by measured times and acceptance, 0 included; false: always the most */
  readonly adaptive: boolean
}

export interface MtpOptions extends DraftOptions {
  /** the model's own multi-token-prediction head */
  readonly method: 'mtp'
  /** tokens that drafts come from; undefined: all of the vocabulary */
  readonly draftVocabSize?: number | undefined
}

export interface NgramOptions extends DraftOptions {
  /** what followed the same tokens earlier in the text */
  readonly method: 'ngram'
  /** tokens that must be found again, at least */
  readonly promptLookupMin: number
  /** and at most */
  readonly promptLookupMax: number
}

export type SpeculativeOptions = MtpOptions | NgramOptions

/** Engine options after defaults and checks, and what they apply to. */
export interface LoadedOptions extends EngineOptions {
  /** never `auto` */
  readonly backend: BackendName
  readonly quantization: Quantization
}

/** Engine options after defaults and checks; what core, runners and plans read. */
export interface EngineOptions {
  /** B: the most token rows in a step */
  readonly maxNumBatchedTokens: number
  /** S: the most requests running at once */
  readonly maxNumSeqs: number
  /** the most tokens of a request, prompt and output together */
  readonly maxModelLen: number
  /** tokens the KV cache holds, a multiple of the block size */
  readonly kvCacheTokens: number
  /** the proposer and the number of drafts; undefined: no speculation */
  readonly speculative: SpeculativeOptions | undefined
  /** how rows are charged against B */
  readonly budgetPolicy: BudgetPolicy
  /** number format of the KV cache */
  readonly kvCacheDtype: KvCacheDtype
  /** find the KV of equal beginnings of prompts again */
  readonly enablePrefixCaching: boolean
  /** the most rows of one request's prompt in a step; 0: no bound but B */
  readonly longPrefillTokenThreshold: number
  /** the most requests whose prompts are unfinished at the end of a step; 0: no bound but S */
  readonly maxNumPartialPrefills: number
  /** which waiting request comes in first */
  readonly schedulingPolicy: SchedulingPolicy
  /** rows run that outweigh one level of priority: waiting makes a request equal to those that matter more and came later */
  readonly priorityAgingTokens: number
  /** the part of the KV blocks that stays free when a request is admitted beside others, for these to grow into; in [0, 1) */
  readonly watermark: number
  /** whether requests may have penalties and logit bias, for which memory is planned: about a row of logits per running request */
  readonly penalties: boolean
  /** what is recorded beside the answers */
  readonly debug: {
    /** of every returned token: nothing, 16 hex digits over its raw logits row, or the row */
    readonly logits: 'off' | 'digest' | 'full'
    /** what was verified, accepted and proposed in each step of a request */
    readonly steps: boolean
    /** record every step's decisions and inputs, for `LLM.replay`; grows with the steps run */
    readonly trace: boolean
  }
}
