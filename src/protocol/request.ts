/** A generation request and its answer. Field names are OpenAI's, with vLLM's extras. Plain data, no behaviour. */

export type FinishReason = 'stop' | 'length' | 'abort'

/** Sampling fields of a request; what is missing comes from the model's generation_config.json, then from the defaults. */
export interface SamplingFields {
  /** new tokens at most; default: what fits `maxModelLen` */
  readonly max_tokens?: number
  /** 0 is greedy */
  readonly temperature?: number
  /** keep the smallest set of tokens whose probabilities reach it; 1: off */
  readonly top_p?: number
  /** keep the k largest logits; 0 or -1: off */
  readonly top_k?: number
  /** keep the tokens with at least this share of the largest probability, from 0 to 1; 0: off */
  readonly min_p?: number
  /** positive logits of tokens in the prompt or the output are divided by it, others multiplied; 0.01 to 100, 1: off */
  readonly repetition_penalty?: number
  /** taken from the logits of tokens in the output; -2 to 2, 0: off */
  readonly presence_penalty?: number
  /** taken from the logits of tokens in the output for each time they are in it; -2 to 2, 0: off */
  readonly frequency_penalty?: number
  /** what is added to the logits of these ids, -100 to 100; at most 300 ids */
  readonly logit_bias?: Readonly<Record<number, number>>
  /** a non-negative integer below 2^53; drawn and reported when missing */
  readonly seed?: number
  /** strings that end the text; they are not part of it */
  readonly stop?: string | readonly string[]
  readonly stop_token_ids?: readonly number[]
  /** go on after the end-of-text token */
  readonly ignore_eos?: boolean
  /** parallel samples of the prompt, at most `maxNumSeqs`; default 1 */
  readonly n?: number
  /** drafts in one step at most, 0 for none; default and most: `speculative.numSpeculativeTokens` */
  readonly num_speculative_tokens?: number
  /** with `schedulingPolicy: 'priority'`: an integer from -1000 to 1000, lower comes first; default 0 */
  readonly priority?: number
  /** prompts share cached KV only under the same salt */
  readonly cache_salt?: string
}

export type Prompt = string | { readonly prompt_token_ids: readonly number[] }

/** What speculation did for an answer. Positions count from 1 to `numSpeculativeTokens`. */
export interface SpeculationUsage {
  /** engine steps that sampled for it */
  readonly steps: number
  /** drafts proposed for it */
  readonly proposed_tokens: number
  /** drafts verified, by their position behind the base row */
  readonly verified_by_position: readonly number[] // [numSpeculativeTokens]
  /** those of them that are in the answer: what a stop cut off does not count */
  readonly accepted_by_position: readonly number[] // [numSpeculativeTokens]
  /** 1 + accepted drafts over verifications of at least one draft; 0 without any */
  readonly mean_accepted_length: number
  /** output tokens over `steps` */
  readonly tokens_per_step: number
}

export interface Usage {
  readonly prompt_tokens: number
  readonly completion_tokens: number
  readonly total_tokens: number
  readonly prompt_tokens_details: { readonly cached_tokens: number }
  readonly completion_tokens_details: {
    readonly accepted_prediction_tokens: number
    readonly rejected_prediction_tokens: number
  }
  /** only where the engine speculates; accepted and rejected above are the sums over its positions */
  readonly speculation?: SpeculationUsage
}

/** One engine step of a request, with `debug.steps`. */
export interface RequestStep {
  /** committed tokens before the step; after it they are at + accepted + 1 when the step sampled */
  readonly at: number
  /** the drafts verified in this step */
  readonly verified: readonly number[]
  readonly accepted: number
  /** the drafts proposed at the end of this step, for the length it ended at */
  readonly proposed: readonly number[]
  /** the request was preempted, and this entry says where it stood */
  readonly preempted?: true
}

export interface RequestDebug {
  /** one per output token */
  readonly logits: readonly (string | Float32Array)[]
  readonly steps: readonly RequestStep[]
}

/** A streamed piece of one sample. The sample's last one carries `finish_reason`. */
export interface GenerationPart {
  /** which of the `n` samples, from 0 */
  readonly index: number
  readonly text: string
  readonly token_ids: readonly number[]
  readonly finish_reason?: FinishReason
  /** of the whole generation, with its very last part */
  readonly usage?: Usage
}

/** One whole sample. */
export interface GenerationChoice {
  readonly index: number
  readonly text: string
  readonly token_ids: readonly number[]
  readonly finish_reason: FinishReason
  readonly debug?: RequestDebug
}

/** A whole answer: the fields of its first sample, and every sample in `choices`. */
export interface GenerationResult extends Omit<GenerationChoice, 'index'> {
  /** `n` of them, by index */
  readonly choices: readonly GenerationChoice[]
  /** of all samples; what one draws depends on seed and index */
  readonly seed: number
  /** the prompt counts once, with the cached tokens of the first sample; the rest is summed over all samples, and means are of the sums */
  readonly usage: Usage
}

/** What an error leaves of an answer: the samples as far as they had come, those that had not ended with 'abort'. */
export type PartialResult = Omit<GenerationResult, 'seed' | 'usage'>
