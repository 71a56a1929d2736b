/**
 * From the time of a step to what it would have been at the machine's usual pace. The pace of a step is known two steps later at
 * best, so that what sizes take that are known well is learnt that late. It must never know why a step drafted.
 */

import { MachinePace } from './machinePace.ts'
import type { StepSize, StepTimes } from './stepTimes.ts'

/** Steps after which a time is learnt from. */
const LAG = 2

export class PacedTimes {
  readonly #times: StepTimes
  readonly #pace = new MachinePace()
  /** oldest first */
  readonly #late: { readonly size: StepSize; readonly ms: number }[] = []

  constructor(times: StepTimes) {
    this.#times = times
  }

  /** Whether the pace is known since the machine last did something else. */
  get settled(): boolean {
    return this.#pace.settled
  }

  /** Whether steps without drafts could show now that steps with them are known wrong. */
  get comparable(): boolean {
    return this.#pace.comparable
  }

  /**
   * Takes the time of a step.
   * @param alone whether it did nothing else, as catching up would be
   * @param probes whether it belongs to a probe: the pace must not be learnt from what that is to measure
   * @returns milliseconds at the usual pace
   */
  take(size: StepSize, ms: number, alone: boolean, probes: boolean): number {
    this.#pace.tick()
    if (size.decoding === 0) this.#pace.pause()
    const point = size.prefillRows === 0 && alone ? this.#times.known(size) : undefined
    if (point && size.draftRows + size.draftPasses === 0) this.#pace.observeBare(point, ms, this.#times.noise)
    else if (point && !probes) this.#pace.observeDrafted(point, ms, this.#times.noise)
    while (this.#late.length > LAG) {
      const late = this.#late.shift()
      if (late) this.#times.observe(late.size, late.ms / this.#pace.factor)
    }
    return ms / this.#pace.factor
  }

  /** The time of a step of a size that is known well is learnt from when its pace is known. */
  learnLate(size: StepSize, ms: number): void {
    this.#late.push({ size, ms })
  }
}
