/**
 * How many times as long as usual the machine takes at present, whatever it does: another tab, a hot laptop, a neighbour. Steps
 * tell whose size is known well. What is measured in a slow spell or a fast one is divided by the pace, or else a spell would look
 * like a gain of whatever was tried in it. It must never know why a step drafted.
 *
 * Steps without drafts are the measure. Where those with drafts seem to be slower than usual and those without next to them do
 * not, what is known of those with drafts is wrong: a spell ended while they were measured.
 */

import { at } from '../../util/math.ts'
import type { TimePoint } from './timePoint.ts'

/** Steps of a kind that count: their median, so that a stray says nothing. */
const STEPS = 7

/** Fewer say nothing of the pace. */
const ENOUGH = 4

/** Fewer steps without drafts prove nothing: of many single ones some are fast by chance. */
const LEAST_PROOF = 3

/** Steps that are older say nothing of the present. */
const PRESENT = 10

/** The standard error of a median is a quarter larger than that of a mean. */
const MEDIAN = 1.25

/** Standard errors by which what is known of steps with drafts may seem wrong and is not. */
const DOUBT = 3.5

/** Standard errors of the pace that are chance. */
const CHANCE = 2

interface Spot {
  readonly step: number
  /** times of its size */
  readonly point: TimePoint
  /** logarithm of its time as a part of the usual one */
  readonly apart: number
}

export class MachinePace {
  /** without drafts, oldest first */
  readonly #bare: Spot[] = []
  /** with drafts or draft passes, oldest first */
  readonly #drafted: Spot[] = []
  #step = 0
  #paused = 0
  /** times as long as usual; 1 as long as nothing else is known */
  factor = 1

  /** A step passes. */
  tick(): void {
    this.#step++
  }

  /** The machine did something else for a while: its pace may be another one. */
  pause(): void {
    this.#bare.length = 0
    this.#drafted.length = 0
    this.#paused = this.#step
  }

  /** Whether steps enough to know it have passed since the last pause. */
  get settled(): boolean {
    return this.#step - this.#paused >= ENOUGH
  }

  /** Whether steps without drafts could show now that steps with them are known wrong. */
  get comparable(): boolean {
    const last = this.#drafted.at(-1)
    return this.#drafted.length >= ENOUGH && last !== undefined && this.#step - last.step < PRESENT
  }

  /**
   * Takes a step without drafts.
   * @param point the times of its size
   * @param noise standard deviation of a time, as a part of it
   */
  observeBare(point: TimePoint, ms: number, noise: number): void {
    this.#take(this.#bare, point, ms)
    if (this.comparable) this.#compare(noise)
    if (!this.comparable) this.#learn(this.#bare, noise)
  }

  /** Takes a step with drafts or draft passes. */
  observeDrafted(point: TimePoint, ms: number, noise: number): void {
    this.#take(this.#drafted, point, ms)
    this.#learn(this.#drafted, noise)
  }

  #take(spots: Spot[], point: TimePoint, ms: number): void {
    spots.push({ step: this.#step, point, apart: Math.log(ms / point.ms) })
    while (spots.length > STEPS || this.#step - at(spots, 0).step >= PRESENT) spots.shift()
  }

  /** A pace is believed as far as chance does not explain it, so that what is known is not blurred where nothing changes. */
  #learn(spots: readonly Spot[], noise: number): void {
    if (spots.length < ENOUGH) return
    const apart = middleOf(spots)
    const chance = (CHANCE * MEDIAN * noise) ** 2 / spots.length
    this.factor = apart ** 2 > chance ? Math.exp(apart * (1 - chance / apart ** 2)) : 1
  }

  #compare(noise: number): void {
    if (this.#bare.length < LEAST_PROOF) return
    const apart = middleOf(this.#drafted) - middleOf(this.#bare)
    const error = MEDIAN * noise * Math.sqrt(1 / this.#drafted.length + 1 / this.#bare.length)
    if (apart <= DOUBT * error) return
    for (const point of new Set(this.#drafted.map((spot) => spot.point))) point.correct(Math.exp(apart))
    this.#drafted.length = 0
  }
}

/** The lower of two middles: strays are slow. */
function middleOf(spots: readonly Spot[]): number {
  const sorted = spots.map(({ apart }) => apart).sort((a, b) => a - b)
  return at(sorted, (sorted.length - 1) >> 1)
}
