/**
 * Measured milliseconds as a function of a number of rows: learnt from steps, read between the measured points. It must never
 * know what the rows were, nor what a step was for.
 *
 * One point per bucket of rows: exact up to 32 rows, where a decoding batch has its steps of tiles and waves, then eight per
 * octave. Integers alone choose the bucket, so that a replay on another machine finds the same.
 */

import { type TimeNoise, TimePoint } from './timePoint.ts'

const EXACT_ROWS = 32

export class RowTimes {
  /** by bucket */
  readonly #points: (TimePoint | undefined)[] = []
  readonly #noise: TimeNoise

  constructor(noise: TimeNoise) {
    this.#noise = noise
  }

  /** Takes a measured time. @returns what is known of that number of rows now */
  add(rows: number, ms: number): TimePoint {
    const bucket = bucketOf(rows)
    const point = this.#points[bucket] ?? new TimePoint(rows, ms, this.#noise)
    this.#points[bucket] = point
    point.add(rows, ms)
    return point
  }

  /** What was measured near this number of rows. */
  near(rows: number): TimePoint | undefined {
    return this.#points[bucketOf(rows)]
  }

  /** Whether something was measured at so many rows or fewer. */
  startsBy(rows: number): boolean {
    return this.#points.findIndex((point) => point !== undefined) <= bucketOf(rows) && this.#points.length > 0
  }

  /** Whether something was measured at so many rows or more. */
  reaches(rows: number): boolean {
    return this.#points.length > bucketOf(rows)
  }

  /**
   * The expected time: linear between two points, the time of the smallest below it; above the largest the line through the
   * last two goes on, if it does not fall. Undefined without any point.
   */
  at(rows: number): number | undefined {
    const exact = this.near(rows)
    if (exact?.rows === rows) return exact.ms
    let low: TimePoint | undefined
    let lower: TimePoint | undefined
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
    for (let bucket = Math.min(bucketOf(rows), this.#points.length - 1); bucket >= 0; bucket--) {
      const point = this.#points[bucket]
      if (point?.trusted) return point.least
    }
    return undefined
  }

  /** The most that so many rows can take if more rows never take less time: what the next believed point above took. */
  atMost(rows: number): number | undefined {
    for (let bucket = bucketOf(rows); bucket < this.#points.length; bucket++) {
      const point = this.#points[bucket]
      if (point?.trusted) return point.ms
    }
    return undefined
  }
}

function between(low: TimePoint, high: TimePoint, rows: number): number {
  const span = high.rows - low.rows
  return span > 0 ? low.ms + ((rows - low.rows) / span) * (high.ms - low.ms) : low.ms
}

function bucketOf(rows: number): number {
  if (rows < EXACT_ROWS) return rows
  const octave = 26 - Math.clz32(rows)
  return EXACT_ROWS + octave * 8 + ((rows - (EXACT_ROWS << octave)) >> (octave + 2))
}
