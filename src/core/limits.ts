/**
 * What is refused before anything runs: engine options that could not serve every valid request, and requests that are not
 * valid. Counts with `cost.ts`, as the scheduler does. It must never know how a request is scheduled.
 */

import { type EngineOptions, SCHEDULING_POLICIES, SPECULATIVE_METHODS } from '../protocol/engineOptions.ts'
import { WeirError } from '../protocol/errors.ts'
import { BUDGET_POLICIES } from '../protocol/stepRecord.ts'
import {
  BLOCK_SIZE,
  blocksNeeded,
  MAX_SPECULATIVE_TOKENS,
  maxTotalTokens,
  numSpeculativeTokens,
  servable,
  totalBlocks,
} from './cost.ts'
import { adjustsLogits, MAX_LOGIT_BIASES, type SamplingParams } from './samplingParams.ts'

/** What the limits depend on of a model. */
export interface ModelLimits {
  /** whether it has a drafter */
  readonly drafter: boolean
  /** positions its rotary table covers */
  readonly maxPositions: number
}

/** What the checks read of a request. */
export interface RequestLimits {
  readonly promptTokenIds: readonly number[]
  readonly maxTokens: number
  readonly sampling: SamplingParams
  /** 0 unless `schedulingPolicy` is `priority`; lower comes first */
  readonly priority: number
  /** cached KV is shared under the same salt alone */
  readonly cacheSalt: string | undefined
  /** drafts in one step at most; undefined: the engine's */
  readonly maxDrafts?: number | undefined
}

/** Levels of priority above and below 0. */
const MAX_PRIORITY = 1000

const MAX_SALT_LENGTH = 128

/** Tokens of an n-gram. */
const MAX_LOOKUP = 16

/** How often a token is in an output fits 22 bits. */
const MAX_MODEL_LEN = 2 ** 22 - 1

/** @throws INVALID_OPTION naming the options to change: a value out of range, B < S, a pool smaller than one request. */
export function validateEngineLimits(options: EngineOptions, model: ModelLimits): void {
  checkSchedulerLimits(options)
  const { maxModelLen, speculative } = options
  if (speculative) {
    checkInteger('speculative.numSpeculativeTokens', speculative.numSpeculativeTokens, 0, MAX_SPECULATIVE_TOKENS)
  }
  if (maxModelLen > model.maxPositions) {
    refuse(`maxModelLen ${maxModelLen} exceeds the ${model.maxPositions} positions of the model: lower maxModelLen`, {
      maxModelLen,
      maxPositions: model.maxPositions,
    })
  }
  if (speculative?.method === 'mtp' && !model.drafter) {
    refuse('speculative.method is "mtp", but the model has no MTP head: use method "ngram" or leave speculative out', {
      method: speculative.method,
    })
  }
}

/** The part of `validateEngineLimits` that no model decides; what the scheduler relies on. @throws INVALID_OPTION */
export function checkSchedulerLimits(options: EngineOptions): void {
  const { maxNumBatchedTokens, maxNumSeqs, maxModelLen, kvCacheTokens, speculative } = options
  checkInteger('maxNumBatchedTokens', maxNumBatchedTokens, 1)
  checkInteger('maxNumSeqs', maxNumSeqs, 1)
  // One prompt token and one new token.
  checkInteger('maxModelLen', maxModelLen, 2, MAX_MODEL_LEN)
  checkInteger('kvCacheTokens', kvCacheTokens, 1)
  checkInteger('longPrefillTokenThreshold', options.longPrefillTokenThreshold, 0)
  checkInteger('maxNumPartialPrefills', options.maxNumPartialPrefills, 0)
  checkInteger('priorityAgingTokens', options.priorityAgingTokens, 1, 2 ** 32)
  if (!SCHEDULING_POLICIES.includes(options.schedulingPolicy)) {
    const allowed = SCHEDULING_POLICIES.join(', ')
    refuse(`schedulingPolicy must be one of ${allowed}, not ${String(options.schedulingPolicy)}`)
  }
  if (!(options.watermark >= 0 && options.watermark < 1)) {
    refuse(`watermark must be a number in [0, 1), not ${String(options.watermark)}`)
  }
  if (!BUDGET_POLICIES.includes(options.budgetPolicy)) {
    refuse(`budgetPolicy must be one of ${BUDGET_POLICIES.join(', ')}, not ${String(options.budgetPolicy)}`)
  }
  if (speculative !== undefined) {
    const { method, numSpeculativeTokens } = speculative
    if (!SPECULATIVE_METHODS.includes(method)) {
      refuse(`speculative.method must be one of ${SPECULATIVE_METHODS.join(', ')}, not ${String(method)}`)
    }
    checkInteger('speculative.numSpeculativeTokens', numSpeculativeTokens, 0)
    if (method === 'mtp' && speculative.draftVocabSize !== undefined) {
      checkInteger('speculative.draftVocabSize', speculative.draftVocabSize, 1)
    }
    if (method === 'ngram') {
      const { promptLookupMin, promptLookupMax } = speculative
      checkInteger('speculative.promptLookupMin', promptLookupMin, 1, MAX_LOOKUP)
      checkInteger('speculative.promptLookupMax', promptLookupMax, promptLookupMin, MAX_LOOKUP)
    }
  }
  if (maxNumBatchedTokens < maxNumSeqs) {
    refuse(
      `maxNumBatchedTokens ${maxNumBatchedTokens} is less than maxNumSeqs ${maxNumSeqs}, so a running request could get no ` +
        'row: raise maxNumBatchedTokens or lower maxNumSeqs',
      { maxNumBatchedTokens, maxNumSeqs },
    )
  }
  if (kvCacheTokens % BLOCK_SIZE !== 0) {
    refuse(`kvCacheTokens ${kvCacheTokens} is not a multiple of the block size ${BLOCK_SIZE}`, { kvCacheTokens })
  }
  if (!servable(maxModelLen, options)) {
    refuse(
      `kvCacheTokens ${kvCacheTokens} is ${totalBlocks(options)} blocks, fewer than the ${blocksNeeded(maxModelLen)} of one ` +
        `request of maxModelLen ${maxModelLen}: raise kvCacheTokens or lower maxModelLen`,
      { kvCacheTokens, maxModelLen },
    )
  }
}

/** @throws INVALID_REQUEST naming the field; UNSERVABLE_REQUEST when it is valid but could never run to its end here. */
export function validateRequest(
  request: RequestLimits,
  options: Pick<
    EngineOptions,
    'maxModelLen' | 'kvCacheTokens' | 'watermark' | 'schedulingPolicy' | 'speculative' | 'penalties'
  >,
  vocabSize: number,
): void {
  const { promptTokenIds, maxTokens } = request
  const promptTokens = promptTokenIds.length
  const { maxModelLen } = options
  if (promptTokens === 0) reject('the prompt has no tokens')
  if (promptTokens + 1 > maxModelLen) {
    reject(
      `the prompt has ${promptTokens} tokens, and with one new token it exceeds maxModelLen ${maxModelLen}: ` +
        'shorten the prompt or raise maxModelLen',
      { promptTokens, maxModelLen },
    )
  }
  for (const id of promptTokenIds) {
    if (!Number.isInteger(id) || id < 0 || id >= vocabSize) {
      reject(`prompt token id ${id} is outside the vocabulary of ${vocabSize}`, { id, vocabSize })
    }
  }
  if (!Number.isInteger(maxTokens) || maxTokens < 1) reject(`max_tokens must be a positive integer, not ${maxTokens}`)
  checkSampling(request.sampling)
  checkAdjustments(request.sampling, options.penalties, vocabSize)
  checkStanding(request, options)
  const mostDrafts = numSpeculativeTokens(options)
  const { maxDrafts = mostDrafts } = request
  if (!(Number.isInteger(maxDrafts) && maxDrafts >= 0 && maxDrafts <= mostDrafts)) {
    reject(`num_speculative_tokens must be an integer from 0 to the engine's ${mostDrafts}, not ${maxDrafts}`)
  }
  const maxTotal = maxTotalTokens(promptTokens, maxTokens, options)
  if (!servable(maxTotal, options)) {
    throw new WeirError(
      'UNSERVABLE_REQUEST',
      `${maxTotal} tokens need ${blocksNeeded(maxTotal)} KV blocks, the pool has ${totalBlocks(options)}: raise kvCacheTokens ` +
        'or lower max_tokens',
      { maxTotal, kvCacheTokens: options.kvCacheTokens },
    )
  }
}

function checkSampling(sampling: SamplingParams): void {
  const { temperature, topK, topP, minP, seed, sampleIndex } = sampling
  if (!(Number.isFinite(temperature) && temperature >= 0)) reject(`temperature must be 0 or more, not ${temperature}`)
  if (!(topP > 0 && topP <= 1)) reject(`top_p must be in (0, 1], not ${topP}`)
  if (!(minP >= 0 && minP <= 1)) reject(`min_p must be in [0, 1], not ${minP}`)
  if (!(Number.isInteger(topK) && topK >= 0)) reject(`top_k must be a non-negative integer, not ${topK}`)
  if (!(Number.isSafeInteger(seed) && seed >= 0)) reject(`seed must be an integer in [0, 2^53), not ${seed}`)
  if (!(Number.isInteger(sampleIndex) && sampleIndex >= 0)) reject(`sample index must not be ${sampleIndex}`)
}

/** @param penalties whether memory for them was planned */
function checkAdjustments(sampling: SamplingParams, penalties: boolean, vocabSize: number): void {
  const { repetitionPenalty, presencePenalty, frequencyPenalty, logitBias } = sampling
  // A penalty times or over the largest logit that the runner adjusts is still a number.
  if (!(repetitionPenalty >= 0.01 && repetitionPenalty <= 100)) {
    reject(`repetition_penalty must be in [0.01, 100], not ${repetitionPenalty}`)
  }
  if (!(Math.abs(presencePenalty) <= 2)) reject(`presence_penalty must be in [-2, 2], not ${presencePenalty}`)
  if (!(Math.abs(frequencyPenalty) <= 2)) reject(`frequency_penalty must be in [-2, 2], not ${frequencyPenalty}`)
  if (logitBias.length > MAX_LOGIT_BIASES) {
    reject(`logit_bias has ${logitBias.length} ids, more than the ${MAX_LOGIT_BIASES} that a request may have`)
  }
  for (const [id, bias] of logitBias) {
    if (!Number.isInteger(id) || id < 0 || id >= vocabSize) {
      reject(`logit_bias: id ${id} is outside the vocabulary of ${vocabSize}`, { id, vocabSize })
    }
    if (!(Math.abs(bias) <= 100)) reject(`logit_bias of id ${id} must be in [-100, 100], not ${bias}`)
  }
  if (new Set(logitBias.map(([id]) => id)).size < logitBias.length) reject('logit_bias names an id twice')
  if (!penalties && adjustsLogits(sampling)) {
    reject(
      'repetition_penalty, presence_penalty, frequency_penalty and logit_bias, those that generation_config.json recommends ' +
        'included, need memory that this engine has not planned: load with penalties: true, or send their neutral values',
    )
  }
}

function checkStanding({ priority, cacheSalt }: RequestLimits, options: Pick<EngineOptions, 'schedulingPolicy'>): void {
  if (!Number.isInteger(priority) || Math.abs(priority) > MAX_PRIORITY) {
    reject(`priority must be an integer from ${-MAX_PRIORITY} to ${MAX_PRIORITY}, not ${priority}`)
  }
  if (priority !== 0 && options.schedulingPolicy !== 'priority') {
    reject(`priority ${priority} has no effect under schedulingPolicy "fcfs": load with schedulingPolicy "priority"`)
  }
  if (cacheSalt === undefined) return
  if (typeof cacheSalt !== 'string' || cacheSalt.length < 1 || cacheSalt.length > MAX_SALT_LENGTH) {
    reject(`cache_salt must be a string of 1 to ${MAX_SALT_LENGTH} characters`)
  }
}

function checkInteger(name: string, value: number, least: number, most = Number.MAX_SAFE_INTEGER): void {
  if (Number.isInteger(value) && value >= least && value <= most) return
  const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `in ${least}…${most}`
  refuse(`${name} must be an integer ${range}, not ${String(value)}`)
}

function refuse(message: string, details: Record<string, string | number> = {}): never {
  throw new WeirError('INVALID_OPTION', message, details)
}

function reject(message: string, details: Record<string, string | number> = {}): never {
  throw new WeirError('INVALID_REQUEST', message, details)
}
