/** How a request's tokens are chosen, after defaults and checks. */

export interface SamplingParams {
  /** 0 is greedy */
  readonly temperature: number
  /** keep the k largest logits; 0: off */
  readonly topK: number
  /** keep the smallest set of tokens whose probabilities reach it; 1: off */
  readonly topP: number
  /** an integer in [0, 2^53) */
  readonly seed: number
  /** index of this sample among the request's parallel samples, part of the noise key */
  readonly sampleIndex: number
}
