/**
 * How a request's tokens are chosen, after defaults and checks. As in vLLM: the bias is added to the logits, then the repetition,
 * frequency and presence penalties apply, and of what that gives greedy takes the largest; otherwise it is divided by the
 * temperature and cut by min-p, top-k and top-p.
 */

export interface SamplingParams {
  /** 0 is greedy */
  readonly temperature: number
  /** keep the k largest logits; 0: off */
  readonly topK: number
  /** keep the smallest set of tokens whose probabilities reach it; 1: off */
  readonly topP: number
  /** keep the tokens with at least this share of the largest probability; 0: off */
  readonly minP: number
  /** of tokens of the prompt and the output: a positive logit is divided by it, another one multiplied; 1: off */
  readonly repetitionPenalty: number
  /** taken from the logits of tokens of the output; 0: off */
  readonly presencePenalty: number
  /** taken from the logits of tokens of the output, once for each time they are in it; 0: off */
  readonly frequencyPenalty: number
  /** [id, what is added to its logit], no id twice */
  readonly logitBias: readonly (readonly [number, number])[]
  /** an integer in [0, 2^53) */
  readonly seed: number
  /** index of this sample among the request's parallel samples, part of the noise key */
  readonly sampleIndex: number
}

/** The largest logit, as it is. */
export const GREEDY: SamplingParams = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  logitBias: [],
  seed: 0,
  sampleIndex: 0,
}

/** The most entries of `logitBias`. */
export const MAX_LOGIT_BIASES = 300

/** Whether the logits are changed before anything is chosen, so that the runner must know the tokens of the request. */
export function adjustsLogits(sampling: SamplingParams): boolean {
  const { repetitionPenalty, presencePenalty, frequencyPenalty, logitBias } = sampling
  return repetitionPenalty !== 1 || presencePenalty !== 0 || frequencyPenalty !== 0 || logitBias.length > 0
}
