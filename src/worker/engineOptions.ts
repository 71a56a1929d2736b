/**
 * Completes the engine options with defaults and checks them against the model. Their types have been checked already. It must
 * never know the device.
 */

import type { BackendDefaults } from '../backend/backend.ts'
import { BLOCK_SIZE } from '../core/cost.ts'
import { type ModelLimits, validateEngineLimits } from '../core/limits.ts'
import type { EngineOptions, SpeculativeOptions } from '../protocol/engineOptions.ts'
import { WeirError } from '../protocol/errors.ts'
import type { SpeculativeLoadOptions } from '../protocol/options.ts'
import type { ServiceOptions } from '../protocol/service.ts'

const DEFAULT_MAX_NUM_SEQS = 16
const DEFAULT_MAX_MODEL_LEN = 1024
const DEFAULT_KV_CACHE_TOKENS = 8192
const DEFAULT_AGING_TOKENS = 8192
const DEFAULT_WATERMARK = 0.01
const DEFAULT_LOOKUP_MIN = 2
const DEFAULT_LOOKUP_MAX = 4

/** @throws INVALID_OPTION naming the options to change */
export function resolveOptions(given: ServiceOptions, model: ModelLimits, defaults: BackendDefaults): EngineOptions {
  const kvCacheTokens = given.kvCacheTokens ?? DEFAULT_KV_CACHE_TOKENS
  const options: EngineOptions = {
    maxNumBatchedTokens: given.maxNumBatchedTokens ?? defaults.maxNumBatchedTokens,
    maxNumSeqs: given.maxNumSeqs ?? DEFAULT_MAX_NUM_SEQS,
    maxModelLen: given.maxModelLen ?? Math.min(DEFAULT_MAX_MODEL_LEN, model.maxPositions),
    // A value below one block is not rounded to 0, so that the error shows it.
    kvCacheTokens: kvCacheTokens < BLOCK_SIZE ? kvCacheTokens : kvCacheTokens - (kvCacheTokens % BLOCK_SIZE),
    speculative: given.speculative && resolveSpeculative(given.speculative),
    budgetPolicy: given.budgetPolicy ?? 'exact',
    kvCacheDtype: given.kvCacheDtype ?? defaults.kvCacheDtype,
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

/** @throws INVALID_OPTION for a field of the other method */
function resolveSpeculative(given: SpeculativeLoadOptions): SpeculativeOptions {
  const { method, numSpeculativeTokens, adaptive = true, promptLookupMin, promptLookupMax } = given
  const { draftVocabSize, draftVocabFile } = given
  if (method === 'ngram') {
    refuseFields(method, 'mtp', { draftVocabSize, draftVocabFile })
    const most = promptLookupMax ?? Math.max(DEFAULT_LOOKUP_MAX, promptLookupMin ?? 0)
    const least = promptLookupMin ?? Math.min(DEFAULT_LOOKUP_MIN, most)
    return { method, numSpeculativeTokens, adaptive, promptLookupMin: least, promptLookupMax: most }
  }
  refuseFields(method, 'ngram', { promptLookupMin, promptLookupMax })
  return { method, numSpeculativeTokens, adaptive, draftVocabSize }
}

/** Refuses fields of another method, which would otherwise be ignored silently. */
function refuseFields(method: string, owner: string, fields: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue
    const option = `speculative.${name}`
    throw new WeirError('INVALID_OPTION', `${option} belongs to method '${owner}', not '${method}'`, { option })
  }
}
