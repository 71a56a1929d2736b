/** Chooses the token of a row of logits that penalties were applied to. Its scratch arrays are allocated once. */

import { likeliestToken, NO_TOKEN, sampleToken } from './choice.ts'
import { RowNoise } from './noise.ts'
import type { RowSampling } from './rowSampling.ts'
import { Thresholds } from './thresholds.ts'

export class RowSampler {
  readonly #thresholds: Thresholds
  readonly #noise = new RowNoise()

  constructor(vocabSize: number) {
    this.#thresholds = new Thresholds(vocabSize)
  }

  /**
   * @param logits [vocabSize]
   * @param position absolute position of the token to sample
   * @returns NO_TOKEN where a logit is NaN or +Infinity, or all are -Infinity
   */
  choose(logits: Float32Array, sampling: RowSampling, position: number): number {
    const likeliest = likeliestToken(logits)
    if (likeliest === NO_TOKEN || sampling.greedy) return likeliest
    const smallest = this.#thresholds.smallestKept(logits, logits[likeliest] as number, sampling)
    this.#noise.start(sampling, position)
    return sampleToken(logits, likeliest, smallest, sampling.temperature, this.#noise)
  }
}
