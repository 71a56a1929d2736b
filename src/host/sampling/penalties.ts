/**
 * Logit bias and penalties of one request, in vLLM's order: bias, repetition, frequency, presence. It knows of every token that
 * they apply to whether it is in the prompt, how often it is in the output, and its bias, so that a row costs as many operations
 * as the request has different tokens, whatever the vocabulary.
 */

import type { SamplingParams } from '../../core/samplingParams.ts'

/** Logits are clamped to this magnitude first, so that no penalty makes them infinite. */
const MOST_ADJUSTED = Math.fround(3e36)

interface AdjustedToken {
  readonly id: number
  /** f32; 0: none */
  bias: number
  inPrompt: boolean
  /** times in the output */
  count: number
}

export class Penalties {
  readonly #tokens = new Map<number, AdjustedToken>()
  readonly #repetition: number
  readonly #inverseRepetition: number
  readonly #presence: number
  readonly #frequency: number

  /** @param history the prompt of `promptLength` tokens, then the output */
  constructor(sampling: SamplingParams, history: readonly number[], promptLength: number) {
    this.#repetition = Math.fround(sampling.repetitionPenalty)
    this.#inverseRepetition = Math.fround(1 / sampling.repetitionPenalty)
    this.#presence = Math.fround(sampling.presencePenalty)
    this.#frequency = Math.fround(sampling.frequencyPenalty)
    for (const [id, bias] of sampling.logitBias) this.#token(id).bias = Math.fround(bias)
    history.forEach((id, position) => {
      if (position < promptLength) this.#token(id).inPrompt = true
      else this.count(id)
    })
  }

  /** A token of the output, be it a draft that was accepted. */
  count(id: number): void {
    this.#token(id).count++
  }

  /** Adjusts a row [vocabSize] in place, each result rounded to f32. Logits that are infinite or NaN are left as they are. */
  adjust(logits: Float32Array): void {
    for (const { id, bias, inPrompt, count } of this.#tokens.values()) {
      const raw = logits[id] as number
      if (!Number.isFinite(raw)) continue
      let logit = Math.fround(Math.max(-MOST_ADJUSTED, Math.min(MOST_ADJUSTED, raw)) + bias)
      if (inPrompt || count > 0) {
        logit = Math.fround(logit * (logit > 0 ? this.#inverseRepetition : this.#repetition))
      }
      if (count > 0) logit = Math.fround(logit - this.#frequency * count) - this.#presence
      logits[id] = logit
    }
  }

  #token(id: number): AdjustedToken {
    let token = this.#tokens.get(id)
    if (!token) {
      token = { id, bias: 0, inPrompt: false, count: 0 }
      this.#tokens.set(id, token)
    }
    return token
  }
}
