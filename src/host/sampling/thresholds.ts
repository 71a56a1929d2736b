/**
 * The smallest logit that min-p, top-k and then top-p keep. All tokens that tie with it are kept. Top-p is a share of what min-p
 * and top-k kept. The row is never sorted as a whole: top-k sorts a few candidates at a time, top-p sums the probabilities by
 * distance from the largest logit and sorts the one interval where their sum reaches it. Sums run in an order that depends on the
 * row alone.
 */

import type { RowSampling } from './rowSampling.ts'

/** Tokens further than so many temperatures below the largest logit add less to a sum of probabilities than it is rounded by. */
const RANGE = 40
/** Intervals per temperature. */
const FINENESS = 16
/** Candidates for the k largest at least, before they are sorted. */
const FEWEST_CANDIDATES = 512

export class Thresholds {
  /** scratch: [vocabSize] logits to be sorted */
  readonly #candidates: Float32Array
  /** scratch: sum of exp((logit - peak) / T) by interval of (peak - logit) / T */
  readonly #masses = new Float64Array(RANGE * FINENESS + 1)

  constructor(vocabSize: number) {
    this.#candidates = new Float32Array(vocabSize)
  }

  /**
   * @param logits [vocabSize], none NaN or +Infinity
   * @param peak the largest of them, finite
   * @returns -Infinity where nothing is cut
   */
  smallestKept(logits: Float32Array, peak: number, { temperature, topK, topP, minPMargin }: RowSampling): number {
    let smallest = Math.fround(peak - minPMargin)
    if (topK > 0 && topK < logits.length) smallest = Math.max(smallest, this.#kthLargest(logits, topK))
    if (topP < 1) smallest = this.#topP(logits, peak, smallest, temperature, topP)
    return smallest
  }

  /** The k-th largest logit, k < vocabSize: keeps candidates above the k-th largest so far. */
  #kthLargest(logits: Float32Array, k: number): number {
    const candidates = this.#candidates
    const most = Math.min(logits.length, Math.max(2 * k, FEWEST_CANDIDATES))
    let count = 0
    let bound = Number.NEGATIVE_INFINITY
    for (let id = 0; id < logits.length; id++) {
      const logit = logits[id] as number
      if (!(logit > bound)) continue
      if (count === most) {
        candidates.subarray(0, count).sort()
        candidates.copyWithin(0, count - k, count)
        count = k
        bound = candidates[0] as number
        if (!(logit > bound)) continue
      }
      candidates[count++] = logit
    }
    candidates.subarray(0, count).sort()
    return count < k ? Number.NEGATIVE_INFINITY : (candidates[count - k] as number)
  }

  /** The greatest logit such that those from it up have the share `topP` of the probability of those from `smallest` up. */
  #topP(logits: Float32Array, peak: number, smallest: number, temperature: number, topP: number): number {
    const masses = this.#masses.fill(0)
    const lowest = Math.max(smallest, peak - RANGE * temperature)
    for (let id = 0; id < logits.length; id++) {
      const logit = logits[id] as number
      if (logit < lowest) continue
      const interval = intervalOf(logit, peak, temperature)
      masses[interval] = (masses[interval] as number) + Math.exp((logit - peak) / temperature)
    }
    let total = 0
    for (const mass of masses) total += mass
    let above = 0
    let interval = 0
    while (above + (masses[interval] as number) < topP * total) above += masses[interval++] as number
    const candidates = this.#inInterval(logits, peak, lowest, temperature, interval)
    let index = candidates.length
    do {
      index--
      above += Math.exp(((candidates[index] as number) - peak) / temperature)
    } while (index > 0 && above < topP * total)
    return candidates[index] as number
  }

  /** The logits of an interval from `lowest` up, rising. */
  #inInterval(logits: Float32Array, peak: number, lowest: number, temperature: number, interval: number): Float32Array {
    let count = 0
    for (let id = 0; id < logits.length; id++) {
      const logit = logits[id] as number
      if (logit < lowest || intervalOf(logit, peak, temperature) !== interval) continue
      this.#candidates[count++] = logit
    }
    return this.#candidates.subarray(0, count).sort()
  }
}

function intervalOf(logit: number, peak: number, temperature: number): number {
  return (((peak - logit) / temperature) * FINENESS) | 0
}
