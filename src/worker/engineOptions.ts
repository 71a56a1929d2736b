/**
 * Engine options completed with defaults for one model, and checked against it. Types were checked before the options came
 * here. It must never know the adapter.
 */

import { BLOCK_SIZE } from '../core/cost.ts'
import { type ModelLimits, validateEngineLimits } from '../core/limits.ts'
import type { EngineOptions } from '../protocol/engineOptions.ts'
import type { ServiceOptions } from '../protocol/service.ts'

const DEFAULT_MAX_MODEL_LEN = 1024
const DEFAULT_KV_CACHE_TOKENS = 8192
const DEFAULT_AGING_TOKENS = 8192
const DEFAULT_WATERMARK = 0.01

/** @throws INVALID_OPTION naming the options to change */
export function resolveOptions(given: ServiceOptions, model: ModelLimits): EngineOptions {
  const kvCacheTokens = given.kvCacheTokens ?? DEFAULT_KV_CACHE_TOKENS
  const options: EngineOptions = {
    backend: given.backend ?? 'auto',
    maxNumBatchedTokens: given.maxNumBatchedTokens ?? 256,
    maxNumSeqs: given.maxNumSeqs ?? 16,
    maxModelLen: given.maxModelLen ?? Math.min(DEFAULT_MAX_MODEL_LEN, model.maxPositions),
    // Less than one block is left as it is, for the message that refuses it.
    kvCacheTokens: kvCacheTokens < BLOCK_SIZE ? kvCacheTokens : kvCacheTokens - (kvCacheTokens % BLOCK_SIZE),
    speculative: given.speculative,
    budgetPolicy: given.budgetPolicy ?? 'exact',
    quantization: given.quantization ?? 'none',
    kvCacheDtype: given.kvCacheDtype ?? 'f16',
    enablePrefixCaching: given.enablePrefixCaching ?? true,
    longPrefillTokenThreshold: given.longPrefillTokenThreshold ?? 0,
    maxNumPartialPrefills: given.maxNumPartialPrefills ?? 0,
    schedulingPolicy: given.schedulingPolicy ?? 'fcfs',
    priorityAgingTokens: given.priorityAgingTokens ?? DEFAULT_AGING_TOKENS,
    watermark: given.watermark ?? DEFAULT_WATERMARK,
    penalties: given.penalties ?? true,
    debug: {
      logits: given.debug?.logits ?? 'off',
      steps: given.debug?.steps ?? false,
      trace: given.debug?.trace ?? false,
    },
  }
  validateEngineLimits(options, model)
  return options
}
