/** What goes in and out of the engine: token ids only. Plain data, no behaviour. */

import type { RequestLimits } from '../core/limits.ts'
import type { MetricsSummary } from '../metrics/engineMetrics.ts'
import type { WeirError } from '../protocol/errors.ts'
import type { FinishReason, RequestDebug, Usage } from '../protocol/request.ts'
import type { StepRecord } from '../protocol/stepRecord.ts'
import type { DebugFlags } from './requestTrace.ts'
import type { TokenEnd } from './stopChecker.ts'

export interface NewRequest extends RequestLimits {
  /** chosen by the caller; an integer of 32 bits, not in use by another unfinished request */
  readonly id: number
  /** ids that end the request; the id that does is its last token */
  readonly stopTokenIds: readonly number[]
  /** the model's end-of-text ids */
  readonly eosTokenIds: readonly number[]
  /** go on after one of `eosTokenIds` */
  readonly ignoreEos: boolean
  readonly debug: DebugFlags
}

export interface EngineRequestEnd {
  readonly requestId: number
  /** undefined when `error` says why */
  readonly reason: FinishReason | undefined
  readonly error: WeirError | undefined
  /** the whole output */
  readonly tokenIds: readonly number[]
  readonly usage: Usage
  readonly debug: RequestDebug | undefined
}

/** Called synchronously, inside the step or the call that causes them. They may add and abort requests. */
export interface EngineHooks {
  /**
   * New tokens of a request, at least one, already cut at a stop id.
   * @returns where its text ends it, `keep` counting these ids; undefined lets it go on
   */
  onTokens(requestId: number, tokenIds: readonly number[]): TokenEnd | undefined
  onFinish(end: EngineRequestEnd): void
  onStep(record: StepRecord): void
}

export interface EngineCoreStats extends MetricsSummary {
  readonly running: number
  readonly waiting: number
  /** one entry per KV block: the id of the request that holds it, FREE_BLOCK, CACHED_BLOCK or SHARED_BLOCK */
  readonly blockOwners: Int32Array
}
