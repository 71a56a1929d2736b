/**
 * Time to first token and inter-token latency over the latest requests and tokens. Times are passed in, in milliseconds of any
 * clock that does not run backwards.
 */

/** Milliseconds; of the values that were kept. All 0 when `count` is 0. */
export interface LatencySummary {
  readonly count: number
  readonly mean: number
  readonly p50: number
  readonly p95: number
  readonly max: number
}

interface Timeline {
  readonly addedAt: number
  lastTokenAt: number | undefined
}

export class LatencyTracker {
  readonly #timelines = new Map<number, Timeline>()
  readonly #firstToken: LatestValues
  readonly #interToken: LatestValues

  /** @param kept values of each kind to keep */
  constructor(kept = 1024) {
    this.#firstToken = new LatestValues(kept)
    this.#interToken = new LatestValues(kept)
  }

  added(requestId: number, at: number): void {
    this.#timelines.set(requestId, { addedAt: at, lastTokenAt: undefined })
  }

  /** Counts `count` tokens that came together; each of them took an equal part of the time since the ones before. */
  tokens(requestId: number, count: number, at: number): void {
    const timeline = this.#timelines.get(requestId)
    if (!timeline || count === 0) return
    if (timeline.lastTokenAt === undefined) {
      this.#firstToken.push(at - timeline.addedAt)
    } else {
      for (let i = 0; i < count; i++) this.#interToken.push((at - timeline.lastTokenAt) / count)
    }
    timeline.lastTokenAt = at
  }

  ended(requestId: number): void {
    this.#timelines.delete(requestId)
  }

  /** From adding a request to its first token. */
  get timeToFirstToken(): LatencySummary {
    return this.#firstToken.summary()
  }

  /** Between two tokens of a request. */
  get interToken(): LatencySummary {
    return this.#interToken.summary()
  }
}

/** The latest values, in a ring. */
class LatestValues {
  readonly #kept: number
  readonly #values: number[] = []
  #next = 0

  constructor(kept: number) {
    this.#kept = kept
  }

  push(value: number): void {
    this.#values[this.#next] = value
    this.#next = (this.#next + 1) % this.#kept
  }

  summary(): LatencySummary {
    const sorted = this.#values.toSorted((a, b) => a - b)
    const count = sorted.length
    // Nearest rank.
    const quantile = (q: number): number => sorted[Math.max(0, Math.ceil(q * count) - 1)] ?? 0
    const mean = count === 0 ? 0 : sorted.reduce((sum, value) => sum + value, 0) / count
    return { count, mean, p50: quantile(0.5), p95: quantile(0.95), max: sorted.at(-1) ?? 0 }
  }
}
