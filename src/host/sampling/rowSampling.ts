/**
 * How the rows of one request are sampled: its parameters as the step needs them, rounded to f32 like the words of the GPU's
 * request table, so that both backends cut and adjust alike. It must never know a row.
 */

import type { SamplingParams } from '../../core/samplingParams.ts'

/** A temperature below this is greedy. */
const MIN_TEMPERATURE = Math.fround(1e-5)

export interface RowSampling {
  readonly temperature: number
  readonly greedy: boolean
  /** 0: off */
  readonly topK: number
  /** 1: off */
  readonly topP: number
  /** min-p cuts tokens whose logit is more than this below the largest; Infinity: off */
  readonly minPMargin: number
  /** an integer in [0, 2^53) */
  readonly seed: number
  readonly sampleIndex: number
}

export function rowSampling({ temperature, topK, topP, minP, seed, sampleIndex }: SamplingParams): RowSampling {
  const rounded = Math.fround(temperature)
  return {
    temperature: rounded,
    greedy: rounded < MIN_TEMPERATURE,
    topK,
    topP: Math.fround(topP),
    minPMargin: minP > 0 ? Math.fround(-temperature * Math.log(minP)) : Number.POSITIVE_INFINITY,
    seed,
    sampleIndex,
  }
}
