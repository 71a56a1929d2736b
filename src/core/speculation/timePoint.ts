/**
 * The milliseconds that steps of one size take: of many noisy samples the usual one, and how far that may be wrong. It must never
 * know what the size is.
 */

import { at } from '../../util/math.ts'
import { SteadyMean } from './steadyMean.ts'

/** Samples from which a point is believed. */
export const TRUSTED_SAMPLES = 4

/** So many samples make a batch. */
const BATCH = 8

/**
 * What took so many times as long as the usual sample is a stray; of few samples the shortest is taken for usual. A device may be
 * slow now and then, but not faster than it is.
 */
const STRAY = 2

/** A batch is a cell, and what is remembered of a steady past are some hundred of them. */
const MEMORY = { values: BATCH, batches: 1, largest: 5, range: 0, surprise: 5 }

/** Standard errors by which a figure is not wrong, of many that were looked at for long. */
const CERTAIN = 6

/** The noise of a time, as a part of it, before it was measured; that counts for one batch. */
const NOISE_GUESS = 0.12

/** A batch that is so far from what is remembered, as a part of it, is a change if the next is so too, and else a stray. */
const FAR = 0.25

/** How noisy times are on this device, whatever the size of the step: the variance of a sample, as a part of its square. */
export class TimeNoise {
  variance = NOISE_GUESS * NOISE_GUESS
  #batches = 1

  add(variance: number): void {
    this.#batches++
    this.variance += (variance - this.variance) / this.#batches
  }
}

export class TimePoint {
  /** mean rows of its samples */
  rows: number
  ms: number
  samples = 0
  /** those that are no batch yet */
  readonly #latest: number[] = []
  readonly #batches = new SteadyMean(MEMORY)
  /** the batch before, if it was far from all others */
  #strange: number | undefined
  readonly #noise: TimeNoise

  constructor(rows: number, ms: number, noise: TimeNoise) {
    this.rows = rows
    this.ms = ms
    this.#noise = noise
  }

  get trusted(): boolean {
    return this.samples >= TRUSTED_SAMPLES
  }

  /** Whether its samples made a batch, so that a single step can be held against it. */
  get settled(): boolean {
    return this.#batches.count > 0
  }

  /** The standard error of `ms`. */
  get error(): number {
    const { count, variance } = this.#batches
    const usual = (this.#noise.variance * this.ms * this.ms) / (count || this.samples)
    return Math.sqrt(Math.max(usual, variance))
  }

  /** The least that it can be. */
  get least(): number {
    return this.ms - CERTAIN * this.error
  }

  add(rows: number, ms: number): void {
    this.samples++
    this.rows += (rows - this.rows) / Math.min(this.samples, BATCH)
    this.#latest.push(ms)
    if (this.#latest.length === BATCH) this.#close()
    if (this.samples < BATCH) this.ms = usual(this.#latest).ms
  }

  /** What was measured was wrong by a factor: it counts no longer than for one batch. */
  correct(factor: number): void {
    this.ms *= factor
    this.#latest.length = 0
    this.#strange = undefined
    this.#batches.clear()
    this.#batches.add(BATCH, this.ms, BATCH * this.#noise.variance * this.ms * this.ms)
  }

  #close(): void {
    const { ms, variance } = usual(this.#latest)
    this.#latest.length = 0
    if (this.#batches.count > 0 && far(ms, this.#batches.mean)) {
      const confirmed = this.#strange !== undefined && !far(ms, this.#strange)
      this.#strange = ms
      if (!confirmed) return
      this.#batches.clear()
    }
    this.#strange = undefined
    this.#noise.add(variance / (ms * ms))
    this.#batches.add(BATCH, ms, BATCH * variance)
    this.ms = this.#batches.mean
  }
}

function far(ms: number, from: number): boolean {
  return Math.abs(ms - from) > FAR * from
}

/** The mean of samples that are no strays, and the variance of one of them. */
function usual(samples: readonly number[]): { ms: number; variance: number } {
  const sorted = samples.toSorted((a, b) => a - b)
  const limit = STRAY * at(sorted, sorted.length < TRUSTED_SAMPLES ? 0 : (sorted.length - 1) >> 1)
  let count = 0
  let ms = 0
  let scatter = 0
  for (const sample of sorted) {
    if (sample > limit) break
    count++
    const apart = sample - ms
    ms += apart / count
    scatter += apart * (sample - ms)
  }
  return { ms, variance: scatter / Math.max(1, count - 1) }
}
