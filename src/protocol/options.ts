/** Options of `LLM.load`, as given and as resolved. Names are vLLM's in camelCase. Plain data, no behaviour. */

import type { BudgetPolicy, StepRecord } from './stepRecord.ts'

export type Backend = 'auto' | 'webgpu' | 'wasm'
export type KvCacheDtype = 'f16' | 'f32'
export type Quantization = 'none'

export interface SpeculativeOptions {
  /** the drafter: the model's own multi-token-prediction head */
  readonly method: 'mtp'
  /** the most drafts proposed for a request in one step, 0…4 */
  readonly numSpeculativeTokens: number
}

export interface DebugOptions {
  /** per returned token: 16 hex digits over the raw logits row it was chosen from, or the row itself */
  readonly logits?: 'digest' | 'full'
  /** per step of a request: what was verified, accepted and proposed */
  readonly steps?: boolean
}

/** Engine options after defaults and checks; what crosses to the worker and what core, runner and plan read. */
export interface EngineOptions {
  readonly backend: Backend
  /** B: the most token rows in a step */
  readonly maxNumBatchedTokens: number
  /** S: the most requests running at once */
  readonly maxNumSeqs: number
  /** the most tokens of a request, prompt and output together */
  readonly maxModelLen: number
  /** tokens the KV cache holds, a multiple of the block size */
  readonly kvCacheTokens: number
  readonly speculative: SpeculativeOptions | undefined
  readonly budgetPolicy: BudgetPolicy
  readonly quantization: Quantization
  readonly kvCacheDtype: KvCacheDtype
  readonly enablePrefixCaching: boolean
  /** the most rows of one request's prompt in a step; 0: no bound but B */
  readonly longPrefillTokenThreshold: number
  readonly debug: { readonly logits: 'off' | 'digest' | 'full'; readonly steps: boolean }
}

export interface LoadProgress {
  readonly phase: 'fetch' | 'upload' | 'compile' | 'ready'
  readonly file: string
  /** bytes, except in `compile`: pipelines */
  readonly loaded: number
  readonly total: number
}

/** What a caller may pass to `LLM.load`; every field is optional. */
export interface LoadOptions {
  readonly backend?: Backend
  readonly maxNumBatchedTokens?: number
  readonly maxNumSeqs?: number
  readonly maxModelLen?: number
  readonly kvCacheTokens?: number
  readonly speculative?: SpeculativeOptions | undefined
  readonly budgetPolicy?: BudgetPolicy
  readonly quantization?: Quantization
  readonly kvCacheDtype?: KvCacheDtype
  readonly enablePrefixCaching?: boolean
  readonly longPrefillTokenThreshold?: number
  readonly debug?: DebugOptions
  readonly onProgress?: (progress: LoadProgress) => void
  readonly onStep?: (record: StepRecord) => void
  readonly signal?: AbortSignal
}
