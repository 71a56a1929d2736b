/**
 * The choice of a token from a row of logits: the largest logit, or the largest logit / T + noise of what is kept. A tie goes to
 * the lowest id. It must never know a request.
 */

import { gumbel, MOST_NOISE, type RowNoise } from './noise.ts'

/** The choice from a row with a NaN or +Infinity, or with nothing but -Infinity. */
export const NO_TOKEN = -1

/**
 * By d, a whole number: bits above this stand for noise below d. E >= v and v <= e^-d wherever -log E >= d; the factor is far
 * more than all rounding.
 */
const MOST_BITS = Float64Array.from({ length: Math.ceil(MOST_NOISE) + 1 }, (_, d) => 2 ** 32 * Math.exp(-d) * 1.001)

/** The token of the largest logit, or NO_TOKEN. */
export function likeliestToken(logits: Float32Array): number {
  let peak = Number.NEGATIVE_INFINITY
  let token = NO_TOKEN
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id] as number
    if (logit <= peak) continue
    // NaN is neither less nor greater.
    if (!(logit > peak)) return NO_TOKEN
    peak = logit
    token = id
  }
  return peak === Number.POSITIVE_INFINITY ? NO_TOKEN : token
}

/**
 * A sample from the softmax of logit / T over the logits from `smallest` up. Noise costs far more than a comparison, so the
 * likeliest token comes first, and others get noise only while the bound on it, then on its bits, lets them win.
 * @param logits [vocabSize], none NaN or +Infinity
 * @param likeliest token of the largest logit
 */
export function sampleToken(
  logits: Float32Array,
  likeliest: number,
  smallest: number,
  temperature: number,
  noise: RowNoise,
): number {
  const peak = logits[likeliest] as number
  const inverse = 1 / temperature
  let token = likeliest
  // Scores are relative to peak / T, which keeps them exact however large the logits are.
  let best = gumbel(noise.bits(likeliest))
  let lowest = Math.max(smallest, peak + (best - MOST_NOISE) * temperature)
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id] as number
    if (logit < lowest) continue
    const relative = (logit - peak) * inverse
    const bits = noise.bits(id)
    if (bits > (MOST_BITS[Math.max(0, best - relative) | 0] as number)) continue
    const score = relative + gumbel(bits)
    if (score > best || (score === best && id < token)) {
      best = score
      token = id
      lowest = Math.max(smallest, peak + (best - MOST_NOISE) * temperature)
    }
  }
  return token
}
