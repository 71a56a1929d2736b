/**
 * Checks the fields of a request and completes them with the model's generation defaults. It must never know the prompt.
 */

import { MAX_LOGIT_BIASES, numberParams, type SamplingParams } from '../core/samplingParams.ts'
import type { GenerationDefaults } from '../models/generationDefaults.ts'
import { WeirError } from '../protocol/errors.ts'
import { LOGIT_BIAS, REQUEST_NUMBERS } from '../protocol/ranges.ts'
import type { SamplingFields } from '../protocol/request.ts'
import { nearestName } from '../util/nearestName.ts'
import { shownValue } from '../util/shownValue.ts'

/** A request's fields after defaults and checks. */
export interface RequestFields {
  /** `sampleIndex` is that of the first sample */
  readonly sampling: SamplingParams
  /** undefined: up to maxModelLen */
  readonly maxTokens: number | undefined
  readonly stop: readonly string[]
  readonly stopTokenIds: readonly number[]
  readonly ignoreEos: boolean
  /** parallel samples */
  readonly n: number
  readonly priority: number
  readonly cacheSalt: string | undefined
  /** drafts per step; undefined: the engine's number */
  readonly maxDrafts: number | undefined
}

interface Check {
  readonly allowed: string
  readonly accepts: (value: unknown, vocabSize: number) => boolean
}

/** Below this a temperature means greedy, as in vLLM; dividing logits by less would overflow f32. */
const GREEDY_BELOW = 1e-5

const MOST_SALT = 128

const CHECKS = {
  ...REQUEST_NUMBERS,
  logit_bias: {
    allowed: `an object of at most ${MAX_LOGIT_BIASES} ids of the vocabulary, each with ${LOGIT_BIAS.allowed}`,
    accepts: isBias,
  },
  stop: { allowed: 'a string or strings, none of them empty', accepts: isStop },
  stop_token_ids: { allowed: 'ids of the vocabulary', accepts: isIds },
  ignore_eos: { allowed: 'true or false', accepts: (value) => typeof value === 'boolean' },
  cache_salt: { allowed: `a non-empty string of at most ${MOST_SALT} characters`, accepts: isSalt },
} satisfies Readonly<Record<keyof SamplingFields, Check>>

/**
 * @param vocabSize token ids must be below it
 * @throws INVALID_REQUEST naming the field, its value and what is allowed
 */
export function readFields(fields: SamplingFields, defaults: GenerationDefaults, vocabSize: number): RequestFields {
  for (const [field, value] of Object.entries(fields)) checkField(field, value, vocabSize)
  const numbers = numberParams((_, field) => fields[field] ?? defaults.sampling[field])
  const { temperature, topK } = numbers
  return {
    sampling: {
      ...numbers,
      temperature: temperature < GREEDY_BELOW ? 0 : temperature,
      // vocabSize or more keeps every token, which 0 stands for; the rest fits a word of the request table.
      topK: topK > 0 && topK < vocabSize ? topK : 0,
      logitBias: Object.entries(fields.logit_bias ?? {}).map(([id, bias]) => [Number(id), bias]),
      seed: fields.seed ?? drawSeed(),
      sampleIndex: 0,
    },
    maxTokens: fields.max_tokens,
    stop: typeof fields.stop === 'string' ? [fields.stop] : (fields.stop ?? []),
    stopTokenIds: fields.stop_token_ids ?? [],
    ignoreEos: fields.ignore_eos ?? false,
    n: fields.n ?? 1,
    priority: fields.priority ?? 0,
    cacheSalt: fields.cache_salt,
    maxDrafts: fields.num_speculative_tokens,
  }
}

function checkField(field: string, value: unknown, vocabSize: number): void {
  const check: Check | undefined = Object.hasOwn(CHECKS, field) ? CHECKS[field as keyof typeof CHECKS] : undefined
  if (!check) throw unknownField(field)
  if (value === undefined || check.accepts(value, vocabSize)) return
  const shown = shownValue(value)
  throw new WeirError('INVALID_REQUEST', `${field} must be ${check.allowed}, not ${shown}`, { field, value: shown })
}

function unknownField(field: string): WeirError {
  const fields = Object.keys(CHECKS)
  const near = nearestName(field, [...fields, 'signal'])
  const hint = near === undefined ? '' : `did you mean ${near}? `
  return new WeirError(
    'INVALID_REQUEST',
    `unknown request field ${field}: ${hint}the fields are ${fields.join(', ')}`,
    {
      field,
      ...(near !== undefined && { nearest: near }),
    },
  )
}

/** A seed of 53 random bits, the range that a request may set. */
function drawSeed(): number {
  const [high = 0, low = 0] = crypto.getRandomValues(new Uint32Array(2))
  return (high >>> 11) * 2 ** 32 + low
}

function isStop(value: unknown): boolean {
  const strings: unknown[] = Array.isArray(value) ? value : [value]
  return strings.every((string) => typeof string === 'string' && string !== '')
}

function isSalt(value: unknown): boolean {
  return typeof value === 'string' && value !== '' && value.length <= MOST_SALT
}

function isBias(value: unknown, vocabSize: number): boolean {
  // Object.entries of a Map is empty, and of an array it gives indices.
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof Map) return false
  const entries = Object.entries(value)
  return (
    entries.length <= MAX_LOGIT_BIASES &&
    entries.every(
      ([key, bias]) => String(Number(key)) === key && isIds([Number(key)], vocabSize) && LOGIT_BIAS.accepts(bias),
    )
  )
}

function isIds(value: unknown, vocabSize: number): boolean {
  return Array.isArray(value) && value.every((id) => Number.isInteger(id) && id >= 0 && id < vocabSize)
}
