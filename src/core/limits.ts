/**
 * Checks before anything runs: refuses engine options that could not serve every valid request, and requests that are not
 * valid. Counts with `cost.ts`, as the scheduler does. It must never know how a request is scheduled.
 */

import {
  type EngineOptions,
  SCHEDULING_POLICIES,
  SPECULATIVE_METHODS,
  type SpeculativeOptions,
} from '../protocol/engineOptions.ts'
import { WeirError } from '../protocol/errors.ts'
import {
  LOGIT_BIAS,
  type NumberRange,
  OPTION_NUMBERS,
  REQUEST_NUMBERS,
  SPECULATIVE_NUMBERS,
} from '../protocol/ranges.ts'
import { BUDGET_POLICIES } from '../protocol/stepRecord.ts'
import { shownValue } from '../util/shownValue.ts'
import { BLOCK_SIZE, blocksNeeded, maxTotalTokens, numSpeculativeTokens, servable, totalBlocks } from './cost.ts'
import {
  adjustsLogits,
  MAX_LOGIT_BIASES,
  NUMBER_PARAMS,
  type NumberParamName,
  type SamplingParams,
} from './samplingParams.ts'

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

const MAX_SALT_LENGTH = 128

/** @throws INVALID_OPTION naming the options to change: a value out of range, B < S, a pool smaller than one request. */
export function validateEngineLimits(options: EngineOptions, model: ModelLimits): void {
  checkSchedulerLimits(options)
  const { maxModelLen, speculative } = options
  if (speculative) {
    const { numSpeculativeTokens } = SPECULATIVE_NUMBERS
    checkOption('speculative.numSpeculativeTokens', speculative.numSpeculativeTokens, numSpeculativeTokens)
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
  for (const [name, range] of Object.entries(OPTION_NUMBERS)) {
    checkOption(name, options[name as keyof typeof OPTION_NUMBERS], range)
  }
  if (!SCHEDULING_POLICIES.includes(options.schedulingPolicy)) {
    const allowed = SCHEDULING_POLICIES.join(', ')
    refuse(`schedulingPolicy must be one of ${allowed}, not ${String(options.schedulingPolicy)}`)
  }
  if (!BUDGET_POLICIES.includes(options.budgetPolicy)) {
    refuse(`budgetPolicy must be one of ${BUDGET_POLICIES.join(', ')}, not ${String(options.budgetPolicy)}`)
  }
  if (speculative) checkSpeculative(speculative)
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

function checkSpeculative(speculative: SpeculativeOptions): void {
  if (!SPECULATIVE_METHODS.includes(speculative.method)) {
    refuse(`speculative.method must be one of ${SPECULATIVE_METHODS.join(', ')}, not ${String(speculative.method)}`)
  }
  const ranges = SPECULATIVE_NUMBERS
  // How many the request table holds is no matter of scheduling.
  if (!(Number.isSafeInteger(speculative.numSpeculativeTokens) && speculative.numSpeculativeTokens >= 0)) {
    refuse(`speculative.numSpeculativeTokens must not be ${speculative.numSpeculativeTokens}`)
  }
  if (speculative.method === 'mtp') {
    checkOption('speculative.draftVocabSize', speculative.draftVocabSize ?? 1, ranges.draftVocabSize)
    return
  }
  const { promptLookupMin, promptLookupMax } = speculative
  checkOption('speculative.promptLookupMin', promptLookupMin, ranges.promptLookupMin)
  checkOption('speculative.promptLookupMax', promptLookupMax, ranges.promptLookupMax)
  if (promptLookupMax < promptLookupMin) {
    refuse(
      `speculative.promptLookupMax ${promptLookupMax} is less than promptLookupMin ${promptLookupMin}: raise the one or lower ` +
        'the other',
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
      const [field, value] = ['prompt_token_ids', shownValue(id)]
      reject(`${field}: id ${value} is outside the vocabulary of ${vocabSize}`, { field, value, vocabSize })
    }
  }
  checkField('max_tokens', maxTokens)
  checkSampling(request.sampling)
  checkAdjustments(request.sampling, options.penalties, vocabSize)
  checkPriorityAndSalt(request, options)
  const mostDrafts = numSpeculativeTokens(options)
  const { maxDrafts = mostDrafts } = request
  if (!(Number.isInteger(maxDrafts) && maxDrafts >= 0 && maxDrafts <= mostDrafts)) {
    const field = 'num_speculative_tokens'
    reject(`${field} must be an integer from 0 to the engine's ${mostDrafts}, not ${maxDrafts}`, { field })
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
  const { topK, sampleIndex } = sampling
  for (const [name, { field }] of Object.entries(NUMBER_PARAMS)) {
    checkField(field, sampling[name as NumberParamName])
  }
  checkField('seed', sampling.seed)
  // A word of the request table; what a request says is cut to the vocabulary before it comes here.
  if (!(Number.isInteger(topK) && topK >= 0 && topK < 2 ** 32)) reject(`top_k must fit 32 bits, not ${topK}`)
  if (!(Number.isInteger(sampleIndex) && sampleIndex >= 0)) reject(`sample index must not be ${sampleIndex}`)
}

/** @param penalties whether memory for them was planned */
function checkAdjustments(sampling: SamplingParams, penalties: boolean, vocabSize: number): void {
  const { logitBias } = sampling
  if (logitBias.length > MAX_LOGIT_BIASES) {
    reject(`logit_bias has ${logitBias.length} ids, more than the ${MAX_LOGIT_BIASES} that a request may have`)
  }
  for (const [id, bias] of logitBias) {
    if (!Number.isInteger(id) || id < 0 || id >= vocabSize) {
      reject(`logit_bias: id ${id} is outside the vocabulary of ${vocabSize}`, { id, vocabSize })
    }
    if (!LOGIT_BIAS.accepts(bias)) reject(`logit_bias of id ${id} must be ${LOGIT_BIAS.allowed}, not ${bias}`)
  }
  if (new Set(logitBias.map(([id]) => id)).size < logitBias.length) reject('logit_bias names an id twice')
  if (!penalties && adjustsLogits(sampling)) {
    reject(
      'repetition_penalty, presence_penalty, frequency_penalty and logit_bias, those that generation_config.json recommends ' +
        'included, need memory that this engine has not planned: load with penalties: true, or send their neutral values',
    )
  }
}

function checkPriorityAndSalt(
  { priority, cacheSalt }: RequestLimits,
  options: Pick<EngineOptions, 'schedulingPolicy'>,
): void {
  checkField('priority', priority)
  if (priority !== 0 && options.schedulingPolicy !== 'priority') {
    reject(`priority ${priority} has no effect under schedulingPolicy "fcfs": load with schedulingPolicy "priority"`, {
      field: 'priority',
    })
  }
  if (cacheSalt === undefined) return
  if (typeof cacheSalt !== 'string' || cacheSalt.length < 1 || cacheSalt.length > MAX_SALT_LENGTH) {
    reject(`cache_salt must be a string of 1 to ${MAX_SALT_LENGTH} characters`)
  }
}

function checkOption(option: string, value: unknown, range: NumberRange): void {
  if (!range.accepts(value)) refuse(`${option} must be ${range.allowed}, not ${String(value)}`, { option })
}

function checkField(field: keyof typeof REQUEST_NUMBERS, value: number): void {
  const { accepts, allowed } = REQUEST_NUMBERS[field]
  if (!accepts(value)) reject(`${field} must be ${allowed}, not ${String(value)}`, { field })
}

function refuse(message: string, details: Record<string, string | number> = {}): never {
  throw new WeirError('INVALID_OPTION', message, details)
}

function reject(message: string, details: Record<string, string | number> = {}): never {
  throw new WeirError('INVALID_REQUEST', message, details)
}
