/**
 * How a request's tokens are chosen, after defaults and checks. As in vLLM: the bias is added to the logits, then the repetition,
 * frequency and presence penalties apply, and of what that gives greedy takes the largest; otherwise it is divided by the
 * temperature and cut by min-p, top-k and top-p.
 */

import type { SamplingField } from '../protocol/ranges.ts'

interface NumberParam {
  /** of the request; what it may be is in `SAMPLING_NUMBERS` */
  readonly field: SamplingField
  /** does nothing; stands where neither the request nor the model says anything */
  readonly neutral: number
}

/** The parameters that are numbers, by name. Checks, defaults and traces go through this table. */
export const NUMBER_PARAMS = {
  /** 0 is greedy */
  temperature: { field: 'temperature', neutral: 1 },
  /** keep the k largest logits; 0: off */
  topK: { field: 'top_k', neutral: 0 },
  /** keep the smallest set of tokens whose probabilities reach it */
  topP: { field: 'top_p', neutral: 1 },
  /** keep the tokens with at least this share of the largest probability */
  minP: { field: 'min_p', neutral: 0 },
  /** of tokens of the prompt and the output: a positive logit is divided by it, another one multiplied */
  repetitionPenalty: { field: 'repetition_penalty', neutral: 1 },
  /** taken from the logits of tokens of the output */
  presencePenalty: { field: 'presence_penalty', neutral: 0 },
  /** taken from the logits of tokens of the output, once for each time they are in it */
  frequencyPenalty: { field: 'frequency_penalty', neutral: 0 },
} as const satisfies Readonly<Record<string, NumberParam>>

export type NumberParamName = keyof typeof NUMBER_PARAMS

export interface SamplingParams extends Readonly<Record<NumberParamName, number>> {
  /** [id, what is added to its logit], no id twice */
  readonly logitBias: readonly (readonly [number, number])[]
  /** an integer in [0, 2^53) */
  readonly seed: number
  /** index of this sample among the request's parallel samples, part of the noise key */
  readonly sampleIndex: number
}

/** The parameters that are numbers, each as `read` gives it, or neutral where it says nothing. */
export function numberParams(
  read: (name: NumberParamName, field: SamplingField) => number | undefined,
): Record<NumberParamName, number> {
  const entries = Object.entries(NUMBER_PARAMS).map(([name, { field, neutral }]) => {
    return [name, read(name as NumberParamName, field) ?? neutral]
  })
  return Object.fromEntries(entries)
}

/** The largest logit, as it is. */
export const GREEDY: SamplingParams = {
  ...numberParams((name) => (name === 'temperature' ? 0 : undefined)),
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
