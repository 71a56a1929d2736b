/**
 * The smallest logit that min-p, top-k and then top-p keep. All tokens that tie with it are kept. Top-p is a share of what min-p
 * and top-k kept. The row is never sorted as a whole: top-k keeps a heap, top-p sums the probabilities by distance from the largest
 * logit and sorts the one interval where their sum reaches it. Sums run in an order that depends on the row alone.
 */

import type { RowSampling } from './rowSampling.ts'

/** Tokens further than so many temperatures below the largest logit add less to a sum of probabilities than it is rounded by. */
const RANGE = 40
/** Intervals per temperature. */
const FINENESS = 32
/** e^-d by interval, where d begins it. */
const STARTS = Float64Array.from({ length: RANGE * FINENESS + 1 }, (_, interval) => Math.exp(-interval / FINENESS))

export class Thresholds {
  /** scratch: [vocabSize] the largest logits, or those of an interval */
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

  /** The k-th largest logit, k < vocabSize: the least of a heap of the k largest so far. */
  #kthLargest(logits: Float32Array, k: number): number {
    const heap = this.#candidates
    heap.set(logits.subarray(0, k))
    for (let index = k >> 1; index >= 0; index--) siftDown(heap, index, k)
    for (let id = k; id < logits.length; id++) {
      const logit = logits[id] as number
      if (logit <= (heap[0] as number)) continue
      heap[0] = logit
      siftDown(heap, 0, k)
    }
    return heap[0] as number
  }

  /** The greatest logit such that those from it up have the share `topP` of the probability of those from `smallest` up. */
  #topP(logits: Float32Array, peak: number, smallest: number, temperature: number, topP: number): number {
    const masses = this.#masses.fill(0)
    const scale = FINENESS / temperature
    const lowest = Math.max(smallest, peak - RANGE * temperature)
    for (let id = 0; id < logits.length; id++) {
      const logit = logits[id] as number
      if (logit < lowest) continue
      const distance = (peak - logit) * scale
      const interval = distance | 0
      masses[interval] = (masses[interval] as number) + decay((distance - interval) / FINENESS)
    }
    let total = 0
    for (let interval = 0; interval < masses.length; interval++) {
      total += masses[interval] = (masses[interval] as number) * (STARTS[interval] as number)
    }
    let above = 0
    let interval = 0
    while (above + (masses[interval] as number) < topP * total) above += masses[interval++] as number
    const candidates = this.#inInterval(logits, peak, lowest, scale, interval)
    let index = candidates.length
    do {
      index--
      above += Math.exp(((candidates[index] as number) - peak) / temperature)
    } while (index > 0 && above < topP * total)
    return candidates[index] as number
  }

  /** The logits of an interval from `lowest` up, rising. */
  #inInterval(logits: Float32Array, peak: number, lowest: number, scale: number, interval: number): Float32Array {
    let count = 0
    for (let id = 0; id < logits.length; id++) {
      const logit = logits[id] as number
      if (logit < lowest || (((peak - logit) * scale) | 0) !== interval) continue
      this.#candidates[count++] = logit
    }
    return this.#candidates.subarray(0, count).sort()
  }
}

/** e^-x of x in [0, 1 / FINENESS), by Taylor: wrong by less than x^5 / 120, or 2^-31. */
function decay(x: number): number {
  return 1 - x * (1 - x * (1 / 2 - x * (1 / 6 - x / 24)))
}

/** Moves the value at `index` of a heap, least first, down to its place. */
function siftDown(heap: Float32Array, index: number, size: number): void {
  const value = heap[index] as number
  let at = index
  for (let child = 2 * at + 1; child < size; child = 2 * at + 1) {
    if (child + 1 < size && (heap[child + 1] as number) < (heap[child] as number)) child++
    if (value <= (heap[child] as number)) break
    heap[at] = heap[child] as number
    at = child
  }
  heap[at] = value
}
