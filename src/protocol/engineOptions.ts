/**
 * Engine options as resolved. Names are vLLM's in camelCase. Plain data, no behaviour, and no type of the browser: the core,
 * which compiles without the DOM, reads them.
 */

import type { BudgetPolicy } from './stepRecord.ts'

export type Backend = 'auto' | 'webgpu' | 'wasm'
export type KvCacheDtype = 'f16' | 'f32'
export type Quantization = 'none'

export interface SpeculativeOptions {
  /** the drafter: the model's own multi-token-prediction head */
  readonly method: 'mtp'
  /** the most drafts proposed for a request in one step, 0…4 */
  readonly numSpeculativeTokens: number
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
