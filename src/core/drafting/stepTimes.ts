/**
 * What a step costs, learnt from the steps that ran: the target model by its rows, and a draft pass by the requests that draft.
 * Steps with prompt rows are learnt apart from steps that only decode, because a prompt's rows are not sampled: neither may spoil
 * the other's figures. It must never know acceptance.
 */

import { at } from '../../util/math.ts'
import { RowTimes, TRUSTED_SAMPLES } from './rowTimes.ts'

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

export class StepTimes {
  /** of steps that only decode, by their draft passes */
  readonly #decode: readonly RowTimes[] // [numSpeculativeTokens + 1]
  /** of steps with prompt rows, without their draft passes */
  readonly #mixed = new RowTimes()
  /** of one draft pass, by the requests that draft */
  readonly #pass = new RowTimes()

  constructor(numSpeculativeTokens: number) {
    this.#decode = Array.from({ length: numSpeculativeTokens + 1 }, () => new RowTimes())
  }

  /** @param ms milliseconds of a step that ran */
  observe({ decoding, draftRows, prefillRows, drafting, draftPasses }: StepSize, ms: number): void {
    const rows = decoding + draftRows + prefillRows
    if (prefillRows > 0) {
      this.#mixed.add(rows, ms - draftPasses * this.pass(drafting))
      return
    }
    at(this.#decode, draftPasses).add(rows, ms)
    // A step that proposes but verifies nothing tells what proposing costs: the rest of it is known best of all.
    if (draftPasses > 0 && draftRows === 0 && this.knows(rows)) {
      this.#pass.add(drafting, (ms - (this.base(rows) ?? 0)) / draftPasses)
    }
  }

  /** Whether the time of a step of so many base rows and nothing else was measured well. */
  knows(decoding: number): boolean {
    return at(this.#decode, 0).samples(decoding) >= TRUSTED_SAMPLES
  }

  /** Whether a step of this size ran before; beside prompts sizes are not told apart. */
  ran({ decoding, draftRows, prefillRows, draftPasses }: StepSize): boolean {
    return prefillRows > 0 || at(this.#decode, draftPasses).samples(decoding + draftRows) > 0
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
    const rows = decoding + prefillRows
    const mixed = this.#mixed.at(rows + draftRows)
    if (prefillRows > 0 && mixed !== undefined) {
      return mixed - (this.#mixed.at(rows) ?? mixed) + draftPasses * this.pass(drafting)
    }
    return this.#decoding(rows + draftRows, drafting, draftPasses) - this.#decoding(rows, drafting, 0)
  }

  /** The least that they can add to a step that only decodes, by what was measured often enough to be believed. */
  addedAtLeast({ decoding, draftRows, draftPasses }: StepSize): number {
    const rows = decoding + draftRows
    const own = at(this.#decode, draftPasses)
    let least = 0
    for (const times of this.#decode.slice(0, draftPasses + 1)) least = Math.max(least, times.atLeast(rows) ?? 0)
    if (own.samples(rows) >= TRUSTED_SAMPLES) least = own.at(rows) ?? 0
    return least - (this.base(decoding) ?? 0)
  }

  /** The most that they add, if more rows never take less time: what the next larger step took that was measured. */
  addedAtMost(size: StepSize): number {
    const { decoding, draftRows, prefillRows, drafting, draftPasses } = size
    const most = prefillRows > 0 ? undefined : at(this.#decode, draftPasses).atMost(decoding + draftRows)
    return most === undefined ? this.added(size) : most - this.#decoding(decoding, drafting, 0)
  }

  /** One draft pass; 0 before any was measured. */
  pass(drafting: number): number {
    return Math.max(0, this.#pass.at(drafting) ?? 0)
  }

  /** A step that only decodes: as it was measured, or with the draft passes of the nearest that was. */
  #decoding(rows: number, drafting: number, draftPasses: number): number {
    let nearest = 0
    this.#decode.forEach((times, passes) => {
      const nearer = Math.abs(draftPasses - passes) < Math.abs(draftPasses - nearest)
      if (times.samples(rows) > 0 && (nearer || at(this.#decode, nearest).samples(rows) === 0)) nearest = passes
    })
    const measured = at(this.#decode, nearest).at(rows) ?? this.base(rows) ?? 0
    return measured + (draftPasses - nearest) * this.pass(drafting)
  }
}
