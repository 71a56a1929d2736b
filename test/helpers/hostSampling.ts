/** `src/host/sampling` on the rows of tests: what the GPU's kernels are compared with. */

import { adjustsLogits } from '../../src/core/samplingParams.ts'
import { NO_TOKEN } from '../../src/host/sampling/choice.ts'
import { gumbel, RowNoise } from '../../src/host/sampling/noise.ts'
import { Penalties } from '../../src/host/sampling/penalties.ts'
import { RowSampler } from '../../src/host/sampling/rowSampler.ts'
import { rowSampling } from '../../src/host/sampling/rowSampling.ts'
import { Thresholds } from '../../src/host/sampling/thresholds.ts'
import { type SampledRow, samplingParams, type TestSampling } from './sampledRow.ts'

export { NO_TOKEN }

/** The row after bias and penalties. */
export function adjustedRow(row: SampledRow): SampledRow {
  const params = samplingParams(row.sampling)
  if (!adjustsLogits(params)) return row
  const { prompt = [], output = [] } = row.sampling
  const penalties = new Penalties(params, [...prompt, ...output], prompt.length)
  for (const draft of row.drafts ?? []) penalties.count(draft)
  const logits = row.logits.slice()
  penalties.adjust(logits)
  return { ...row, logits }
}

/** The smallest logit that min-p, top-k and top-p keep of a valid row. */
export function hostThreshold(logits: Float32Array, sampling: TestSampling): number {
  const peak = logits.reduce((a, b) => Math.max(a, b), -Infinity)
  return new Thresholds(logits.length).smallestKept(logits, peak, rowSampling(samplingParams(sampling)))
}

/** The token of a row that penalties were applied to. */
export function hostToken({ logits, sampling, position }: SampledRow): number {
  return new RowSampler(logits.length).choose(logits, rowSampling(samplingParams(sampling)), position)
}

/** Logit, or logit / T + noise, of a token; -Infinity where it is cut. */
export function hostScore({ logits, sampling, position }: SampledRow, token: number): number {
  const { temperature, greedy, seed, sampleIndex } = rowSampling(samplingParams(sampling))
  const logit = logits[token] ?? Number.NaN
  if (greedy) return logit
  if (logit < hostThreshold(logits, sampling)) return -Infinity
  const noise = new RowNoise()
  noise.start({ seed, sampleIndex }, position)
  return logit / temperature + gumbel(noise.bits(token))
}
