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
  /** a non-negative integer below 2^53; drawn and reported when missing */
  readonly seed?: number
  /** strings that end the text; they are not part of it */
  readonly stop?: string | readonly string[]
  readonly stop_token_ids?: readonly number[]
  /** go on after the end-of-text token */
  readonly ignore_eos?: boolean
}

export type Prompt = string | { readonly prompt_token_ids: readonly number[] }

export interface Usage {
  readonly prompt_tokens: number
  readonly completion_tokens: number
  readonly total_tokens: number
  readonly prompt_tokens_details: { readonly cached_tokens: number }
  readonly completion_tokens_details: {
    readonly accepted_prediction_tokens: number
    readonly rejected_prediction_tokens: number
  }
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

/** A streamed piece of an answer. The last one carries `finish_reason`. */
export interface GenerationPart {
  readonly text: string
  readonly token_ids: readonly number[]
  readonly finish_reason?: FinishReason
}

/** A whole answer. */
export interface GenerationResult {
  readonly text: string
  readonly token_ids: readonly number[]
  readonly finish_reason: FinishReason
  readonly seed: number
  readonly usage: Usage
  readonly debug?: RequestDebug
}
