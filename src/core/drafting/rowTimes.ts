/**
 * Measured milliseconds as a function of a number of rows: learnt from steps, read between the measured points. It must never
 * know what the rows were, nor what a step was for.
 *
 * One point per bucket of rows: exact up to 32 rows, where a decoding batch has its steps of tiles and waves, then eight per
 * octave. Integers alone choose the bucket, so that a replay on another machine finds the same.
 */

import { at } from '../../util/math.ts'

const EXACT_ROWS = 32

/** Samples that a point remembers. The mean of their middle half is its time, so that stray times do not count. */
const WINDOW = 16

/** Samples from which a point is believed. Of fewer the lowest counts: a device may be slow once, but not faster than it is. */
export const TRUSTED_SAMPLES = 4

class Point {
  /** mean rows of its samples */
  rows: number
  ms: number
  /** the latest ones, in a ring */
  readonly #samples: number[] = []
  #next = 0

  constructor(rows: number, ms: number) {
    this.rows = rows
    this.ms = ms
  }

  get samples(): number {
    return this.#samples.length
  }

  add(rows: number, ms: number): void {
    this.#samples[this.#next] = ms
    this.#next = (this.#next + 1) % WINDOW
    this.rows += (rows - this.rows) / this.samples
    this.ms = usual(this.#samples)
  }
}

export class RowTimes {
  /** by bucket */
  readonly #points: (Point | undefined)[] = []

  /** Takes a measured time. */
  add(rows: number, ms: number): void {
    const bucket = bucketOf(rows)
    const point = this.#points[bucket] ?? new Point(rows, ms)
    this.#points[bucket] = point
    point.add(rows, ms)
  }

  /** Samples near this number of rows. */
  samples(rows: number): number {
    return this.#points[bucketOf(rows)]?.samples ?? 0
  }

  /**
   * The expected time: linear between two points, the time of the smallest below it; above the largest the line through the
   * last two goes on, if it does not fall. Undefined without any point.
   */
  at(rows: number): number | undefined {
    let low: Point | undefined
    let lower: Point | undefined
    for (const point of this.#points) {
      if (!point) continue
      if (point.rows >= rows) return low ? between(low, point, rows) : point.ms
      lower = low
      low = point
    }
    if (!low || !lower) return low?.ms
    return Math.max(low.ms, between(lower, low, rows))
  }

  /** The least that so many rows can take if more rows never take less time: what the last believed point below took. */
  atLeast(rows: number): number | undefined {
    return this.#points.findLast((point, bucket) => bucket <= bucketOf(rows) && believed(point))?.ms
  }

  /** The most that so many rows can take if more rows never take less time: what the next believed point above took. */
  atMost(rows: number): number | undefined {
    return this.#points.find((point, bucket) => bucket >= bucketOf(rows) && believed(point))?.ms
  }
}

function believed(point: Point | undefined): boolean {
  return point !== undefined && point.samples >= TRUSTED_SAMPLES
}

function between(low: Point, high: Point, rows: number): number {
  const span = high.rows - low.rows
  return span > 0 ? low.ms + ((rows - low.rows) / span) * (high.ms - low.ms) : low.ms
}

function bucketOf(rows: number): number {
  if (rows < EXACT_ROWS) return rows
  const octave = 26 - Math.clz32(rows)
  return EXACT_ROWS + octave * 8 + ((rows - (EXACT_ROWS << octave)) >> (octave + 2))
}

function usual(samples: readonly number[]): number {
  if (samples.length < TRUSTED_SAMPLES) return Math.min(...samples)
  const sorted = samples.toSorted((a, b) => a - b)
  const cut = Math.ceil((sorted.length - 1) / 4)
  let sum = 0
  for (let i = cut; i < sorted.length - cut; i++) sum += at(sorted, i)
  return sum / (sorted.length - 2 * cut)
}
