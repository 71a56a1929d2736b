/**
 * The numbers of requests and engine options, and what each may be: the one table that the page, the worker and the core check
 * by. A bound is that of the word a number goes into, or of its meaning. It must never know what a number does.
 */

export interface NumberRange {
  readonly least: number
  readonly most: number
  /** completes "must be …" */
  readonly allowed: string
  readonly accepts: (value: unknown) => value is number
}

/** Numbers that stay in JavaScript. */
const SAFE = Number.MAX_SAFE_INTEGER
/** The device's counts and places are 32-bit words; beyond half of them no adapter has memory. */
const WORD = 2 ** 31 - 1
/** The most drafts of a request in a step: what a row of the runner's request table holds. */
export const MOST_DRAFTS = 4

/** How tokens are chosen: fields of a request that generation_config.json may recommend. */
export const SAMPLING_NUMBERS = {
  temperature: numbers(0, 100),
  top_p: numbers(Number.MIN_VALUE, 1, 'a number above 0, up to 1'),
  top_k: integers(-1, SAFE, 'a positive integer, or 0 or -1 for off'),
  min_p: numbers(0, 1),
  // A penalty times or over the largest logit that the runner adjusts is still a number.
  repetition_penalty: numbers(0.01, 100),
  presence_penalty: numbers(-2, 2),
  frequency_penalty: numbers(-2, 2),
} as const satisfies Readonly<Record<string, NumberRange>>

export type SamplingField = keyof typeof SAMPLING_NUMBERS

export const REQUEST_NUMBERS = {
  max_tokens: integers(1, SAFE, 'a positive integer'),
  ...SAMPLING_NUMBERS,
  seed: integers(0, SAFE, 'an integer from 0 to 2^53 - 1'),
  n: integers(1, SAFE, 'a positive integer'),
  priority: integers(-1000, 1000),
  num_speculative_tokens: integers(0, MOST_DRAFTS),
} as const satisfies Readonly<Record<string, NumberRange>>

/** The value of an entry of `logit_bias`. */
export const LOGIT_BIAS: NumberRange = numbers(-100, 100)

export const OPTION_NUMBERS = {
  maxNumBatchedTokens: integers(1, WORD),
  maxNumSeqs: integers(1, WORD),
  // One prompt token and one new token; how often a token is in an output fits 22 bits.
  maxModelLen: integers(2, 2 ** 22 - 1),
  kvCacheTokens: integers(1, WORD),
  longPrefillTokenThreshold: integers(0, SAFE, 'a non-negative integer'),
  maxNumPartialPrefills: integers(0, SAFE, 'a non-negative integer'),
  priorityAgingTokens: integers(1, 2 ** 32),
  watermark: numbers(0, 1 - Number.EPSILON / 2, 'a number from 0 up to, but not including, 1'),
} as const satisfies Readonly<Record<string, NumberRange>>

export const BACKEND_NUMBERS = {
  numThreads: integers(1, 64),
} as const satisfies Readonly<Record<string, NumberRange>>

export const SPECULATIVE_NUMBERS = {
  numSpeculativeTokens: integers(0, MOST_DRAFTS),
  draftVocabSize: integers(1, WORD),
  promptLookupMin: integers(1, 16),
  promptLookupMax: integers(1, 16),
} as const satisfies Readonly<Record<string, NumberRange>>

function integers(least: number, most: number, allowed = `an integer from ${least} to ${most}`): NumberRange {
  const accepts = (value: unknown): value is number => Number.isInteger(value) && isBetween(value, least, most)
  return { least, most, allowed, accepts }
}

function numbers(least: number, most: number, allowed = `a number from ${least} to ${most}`): NumberRange {
  return { least, most, allowed, accepts: (value): value is number => isBetween(value, least, most) }
}

/** False of NaN. */
function isBetween(value: unknown, least: number, most: number): value is number {
  return typeof value === 'number' && value >= least && value <= most
}
