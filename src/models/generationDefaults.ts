/** Reads what says how a model is sampled and where its text ends: generation_config.json, and the end token of tokenizer_config.json. */

import { SAMPLING_NUMBERS, type SamplingField } from '../protocol/ranges.ts'
import { ConfigFields } from './configFields.ts'

/** The defaults in a model's generation_config.json. */
export interface GenerationDefaults {
  /** recommended sampling parameters */
  readonly sampling: { readonly [field in SamplingField]?: number }
  readonly eosTokenIds: readonly number[]
}

/**
 * Reads generation_config.json; undefined if the model has none. `do_sample: false` means greedy, whatever the other
 * fields say.
 * @throws MODEL_FORMAT naming the field and its value
 */
export function parseGenerationDefaults(
  generationConfig: unknown,
  vocabSize = Number.POSITIVE_INFINITY,
): GenerationDefaults {
  const fields = new ConfigFields('generation_config.json', generationConfig ?? {})
  const sampling: { [field in SamplingField]?: number } = {}
  for (const [field, range] of Object.entries(SAMPLING_NUMBERS)) {
    if (fields.has(field)) sampling[field as SamplingField] = fields.within(field, range)
  }
  if (!fields.boolean('do_sample', true)) sampling.temperature = 0
  return { sampling, eosTokenIds: fields.tokenIds('eos_token_id', vocabSize) }
}

/**
 * The token that ends a text by tokenizer_config.json (undefined if the model has none), as its string: only a tokenizer knows its id.
 * Some models state it there alone. [] or one.
 * @throws MODEL_FORMAT unless it is a string or an object with the string as `content`
 */
export function eosTokens(tokenizerConfig: unknown): string[] {
  const fields = new ConfigFields('tokenizer_config.json', tokenizerConfig ?? {})
  const token = fields.raw('eos_token')
  if (token === undefined) return []
  if (typeof token === 'string') return [token]
  return [new ConfigFields('tokenizer_config.json: eos_token', token).string('content')]
}
