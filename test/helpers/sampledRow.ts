/** Rows of logits with the sampling of their request, as tests of both backends write them down. */

import { GREEDY, type SamplingParams } from '../../src/core/samplingParams.ts'

/** What a request says of its sampling, neutral and greedy otherwise, and its tokens so far. */
export interface TestSampling extends Partial<SamplingParams> {
  readonly prompt?: readonly number[]
  readonly output?: readonly number[]
}

/** A row of logits and how it is sampled. */
export interface SampledRow {
  readonly logits: Float32Array // [vocab]
  readonly sampling: TestSampling
  /** absolute position of the token that is sampled */
  readonly position: number
  /** verified in this step before the token is sampled */
  readonly drafts?: readonly number[]
}

export function samplingParams({ prompt, output, ...params }: TestSampling): SamplingParams {
  return { ...GREEDY, ...params }
}

/** Whether the row ends its request: a NaN, +infinity, or nothing but -infinity. */
export function isInvalidRow(logits: Float32Array): boolean {
  return logits.some((x) => Number.isNaN(x) || x === Infinity) || logits.every((x) => x === -Infinity)
}
