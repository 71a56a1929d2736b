/** Milliseconds by number of rows, learnt from measurements: a moving average per bucket of rows, linear between buckets. */

/** Weight of a new time, once so many were taken that their mean gives each less. */
const GAIN = 1 / 16
/** A time is taken as at most so many times the average, and at least its inverse: outliers say little. */
const CLIP = 1.5
/** Milliseconds that a coarse clock cannot tell from 0: an average of 0 must be able to grow. */
const CLOCK_RESOLUTION = 0.1
/** Of the first times of a bucket the shortest counts: the others may include warming up. */
const FIRST_TIMES = 2
/** Buckets of one number of rows up to here, where tiles of kernels end, then 8 per octave. */
const EXACT_ROWS = 32

interface Bucket {
  /** moving averages */
  rows: number
  ms: number
  times: number
}

export class TimeTable {
  readonly #buckets: (Bucket | undefined)[] = []

  add(rows: number, ms: number): void {
    const index = bucketOf(rows)
    const bucket = this.#buckets[index]
    if (!bucket) {
      this.#buckets[index] = { rows, ms, times: 1 }
      return
    }
    const gain = Math.max(1 / ++bucket.times, GAIN)
    bucket.rows += (rows - bucket.rows) * gain
    if (bucket.times <= FIRST_TIMES) bucket.ms = Math.min(bucket.ms, ms)
    else bucket.ms += gain * (clip(ms, bucket.ms / CLIP, bucket.ms * CLIP + CLOCK_RESOLUTION) - bucket.ms)
  }

  has(rows: number): boolean {
    return this.#buckets[bucketOf(rows)] !== undefined
  }

  /** Whether its only time may be an outlier. */
  unconfirmed(rows: number): boolean {
    return this.#buckets[bucketOf(rows)]?.times === 1
  }

  /** Whether so many rows or more were measured. */
  reaches(rows: number): boolean {
    return this.#buckets.length > bucketOf(rows)
  }

  /** Beyond what was measured the line through the first and the last bucket goes on. 0 where nothing was measured. */
  at(rows: number): number {
    const exact = this.#buckets[bucketOf(rows)]
    if (exact) return exact.ms
    let first: Bucket | undefined
    let last: Bucket | undefined
    for (const bucket of this.#buckets) {
      if (!bucket) continue
      if (last && bucket.rows > rows) return interpolate(last, bucket, rows)
      first ??= bucket
      last = bucket
    }
    if (!first || !last) return 0
    const line = interpolate(first, last, rows)
    // More rows never take less there, and a row of fewer never takes less than one of more.
    return rows > last.rows ? Math.max(last.ms, line) : clip(line, (first.ms * rows) / first.rows, first.ms)
  }
}

/** Integer arithmetic alone, so that a replay on another machine finds the same bucket. */
function bucketOf(rows: number): number {
  if (rows < EXACT_ROWS) return rows
  const octave = 26 - Math.clz32(rows)
  return EXACT_ROWS + octave * 8 + ((rows - (EXACT_ROWS << octave)) >> (octave + 2))
}

function interpolate(low: Bucket, high: Bucket, rows: number): number {
  const span = high.rows - low.rows
  return span > 0 ? low.ms + ((rows - low.rows) / span) * (high.ms - low.ms) : low.ms
}

function clip(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most)
}
