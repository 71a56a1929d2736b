/**
 * What a step costs, learnt from the steps that ran: the target model by its rows, and a draft pass by the requests that draft.
 * Steps with prompt rows are learnt apart from steps that only decode, because a prompt's rows are not sampled: neither may spoil
 * the other's figures. It must never know acceptance.
 */

import { at } from '../../util/math.ts'
import { RowTimes } from './rowTimes.ts'
import { TimeNoise, type TimePoint } from './timePoint.ts'

export interface StepSize {
  /** decoding requests: its base rows */
  readonly decoding: number
  readonly draftRows: number
  readonly prefillRows: number
  /** requests that proposed drafts at its end */
  readonly drafting: number
  /** draft passes: the most drafts proposed for one request; 0 where proposing takes no pass */
  readonly draftPasses: number
}

/** Steps with prompt rows after which their times are believed: their sizes differ, so that each says little. */
const TRUSTED_MIXED = 16

/** How far the time of a size that never ran may be wrong, as a part of it. */
const UNMEASURED = 0.25

export class StepTimes {
  /** of steps that only decode, by their draft passes */
  readonly #decode: readonly RowTimes[] // [numSpeculativeTokens + 1]
  readonly #noise = new TimeNoise()
  /** of all steps that only decode, without their draft passes: for sizes that never ran with so many */
  readonly #target = new RowTimes(new TimeNoise())
  /** of steps with prompt rows, without their draft passes */
  readonly #mixed = new RowTimes(new TimeNoise())
  #mixedSteps = 0
  /** of one draft pass, by the requests that draft */
  readonly #pass = new RowTimes(new TimeNoise())

  constructor(numSpeculativeTokens: number) {
    this.#decode = Array.from({ length: numSpeculativeTokens + 1 }, () => new RowTimes(this.#noise))
  }

  /** @param ms milliseconds of a step that ran */
  observe({ decoding, draftRows, prefillRows, drafting, draftPasses }: StepSize, ms: number): void {
    const rows = decoding + draftRows + prefillRows
    if (prefillRows > 0) {
      this.#mixedSteps++
      this.#mixed.add(rows, ms - draftPasses * this.pass(drafting))
      return
    }
    this.#target.add(rows, draftPasses > 0 ? ms - draftPasses * this.pass(drafting) : ms)
    const point = at(this.#decode, draftPasses).add(rows, ms)
    // Where the same rows are known without passes, the rest is what proposing costs.
    const without = at(this.#decode, 0).near(rows)
    if (draftPasses > 0 && without?.trusted) {
      this.#pass.add(drafting, Math.max(0, point.ms - without.ms) / draftPasses)
    }
  }

  /**
   * Whether the time of a step without drafts was measured well. Beside prompts it cannot be, only guessed: by such steps, or by
   * one of so many base rows or more and nothing else.
   */
  knows(decoding: number, prefillRows: number): boolean {
    const alone = at(this.#decode, 0)
    if (prefillRows === 0) return alone.near(decoding)?.trusted === true
    return this.#mixedSteps >= TRUSTED_MIXED || alone.atMost(decoding) !== undefined
  }

  /** Whether a step of so many base rows and nothing else ran. */
  measured(decoding: number): boolean {
    return at(this.#decode, 0).near(decoding) !== undefined
  }

  /** The standard deviation of the time of a step that only decodes, as a part of it. */
  get noise(): number {
    return Math.sqrt(this.#noise.variance)
  }

  /** The times of a step that only decodes; undefined where they are not known well. */
  known({ decoding, draftRows, draftPasses }: StepSize): TimePoint | undefined {
    const point = at(this.#decode, draftPasses).near(decoding + draftRows)
    return point?.settled ? point : undefined
  }

  /** Whether a step of this size ran before; beside prompts sizes are not told apart. */
  ran({ decoding, draftRows, prefillRows, draftPasses }: StepSize): boolean {
    return prefillRows > 0 || at(this.#decode, draftPasses).near(decoding + draftRows) !== undefined
  }

  /** How often a step that only decodes had this size, or else as many rows. */
  samples({ decoding, draftRows, draftPasses }: StepSize): number {
    const rows = decoding + draftRows
    return (at(this.#decode, draftPasses).near(rows) ?? this.#target.near(rows))?.samples ?? 0
  }

  /** Whether steps of so many rows or more ran. */
  covers({ decoding, draftRows, prefillRows }: StepSize): boolean {
    if (prefillRows > 0 && this.#guessesBeside(decoding + prefillRows))
      return this.#mixed.reaches(decoding + draftRows + prefillRows)
    return this.#target.reaches(decoding + draftRows)
  }

  /** A step of base rows alone; undefined before any step ran. */
  base(decoding: number): number | undefined {
    return at(this.#decode, 0).at(decoding) ?? this.#mixed.at(decoding)
  }

  /**
   * What draft rows and draft passes add to a step that has the base rows and the prompt rows anyway. Prompt rows that drafts push
   * out of the step run later and cost what they cost now, so `prefillRows` are those that would run without drafts, and the sum
   * may exceed B.
   */
  added({ decoding, draftRows, prefillRows, drafting, draftPasses }: StepSize): number {
    if (draftRows === 0 && draftPasses === 0) return 0
    const rows = decoding + prefillRows
    if (prefillRows > 0 && this.#guessesBeside(rows)) {
      const more = (this.#mixed.at(rows + draftRows) ?? 0) - (this.#mixed.at(rows) ?? 0)
      return Math.max(0, more) + draftPasses * this.pass(drafting)
    }
    // Before such steps are known: as much as where no prompts run beside.
    return this.#decoding(decoding + draftRows, drafting, draftPasses) - this.#decoding(decoding, drafting, 0)
  }

  /** The standard error of the time of a step that only decodes. */
  error({ decoding, draftRows, draftPasses }: StepSize): number {
    const rows = decoding + draftRows
    const own = at(this.#decode, draftPasses).near(rows)
    return own ? own.error : UNMEASURED * (this.#target.at(rows) ?? 0)
  }

  /** The least that they can add to a step that only decodes, by what was measured often enough to be believed. */
  addedAtLeast({ decoding, draftRows, draftPasses }: StepSize): number {
    const rows = decoding + draftRows
    const own = at(this.#decode, draftPasses).near(rows)
    const base = this.base(decoding) ?? 0
    if (own?.trusted) return own.least - base
    let least = 0
    for (let passes = 0; passes <= draftPasses; passes++) {
      least = Math.max(least, at(this.#decode, passes).atLeast(rows) ?? 0)
    }
    return least - base
  }

  /** The most that they add, if more rows never take less time: what the next larger step took that was measured. */
  addedAtMost(size: StepSize): number {
    const { decoding, draftRows, prefillRows, drafting, draftPasses } = size
    const most = prefillRows > 0 ? undefined : at(this.#decode, draftPasses).atMost(decoding + draftRows)
    return most === undefined ? this.added(size) : most - this.#decoding(decoding, drafting, 0)
  }

  /** One draft pass; 0 before any was measured. */
  pass(drafting: number): number {
    return this.#pass.at(drafting) ?? 0
  }

  /** Whether steps with prompts are known from so many rows on. */
  #guessesBeside(rows: number): boolean {
    return this.#mixedSteps >= TRUSTED_MIXED && this.#mixed.startsBy(rows)
  }

  /** A step that only decodes: as it was measured, or else by its rows and its passes. */
  #decoding(rows: number, drafting: number, draftPasses: number): number {
    const own = at(this.#decode, draftPasses)
    const measured = own.near(rows) ? own.at(rows) : undefined
    return measured ?? (this.#target.at(rows) ?? this.base(rows) ?? 0) + draftPasses * this.pass(drafting)
  }
}
