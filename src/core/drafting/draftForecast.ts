/**
 * The outlooks of one decision: every number of drafts in one situation, by the times and the acceptance known so far. A throw-away
 * object. It must never know which number is held.
 */

import { at } from '../../util/math.ts'
import type { AcceptanceEstimate } from './acceptanceEstimate.ts'
import { acceptedBeyond, type Chances, draftsOf, leaner, type Outlook, outlook } from './draftOutlook.ts'
import type { DraftSituation } from './draftPolicy.ts'
import type { StepSize, StepTimes } from './stepTimes.ts'

export interface ForecastSetup {
  /** the most drafts */
  readonly numSpeculativeTokens: number
  /** whether drafts are proposed on the host for the step that they are decided for, rather than by passes at the end of the one before */
  readonly verifiedAtOnce: boolean
}

export class DraftForecast {
  /** what the base rows take alone, milliseconds */
  readonly base: number
  /** of 0… drafts */
  readonly outlooks: readonly Outlook[] // [numSpeculativeTokens + 1]
  readonly #setup: ForecastSetup
  readonly #situation: DraftSituation
  readonly #times: StepTimes
  readonly #chances: Chances

  constructor(
    setup: ForecastSetup,
    situation: DraftSituation,
    base: number,
    times: StepTimes,
    acceptance: AcceptanceEstimate,
  ) {
    const { numSpeculativeTokens } = setup
    const { requests, draftRows: room } = situation
    this.base = base
    this.#setup = setup
    this.#situation = situation
    this.#times = times
    this.#chances = requests.map(({ id, limit }) => acceptance.chances(id, Math.min(limit, numSpeculativeTokens)))
    this.outlooks = Array.from({ length: numSpeculativeTokens + 1 }, (_, k) => {
      const all = outlook(k, this.#chances, room, base, (rows) => times.added(this.#size(k, rows)))
      return leaner(all, this.#chances, room, base, (rows) => times.addedAtMost(this.#size(k, rows)))
    })
  }

  /** The numbers above `k` that might pay: more than `goodput` if every further draft were accepted, by times that are believed. */
  hopesAbove(k: number, goodput: number): number[] {
    const chances = acceptedBeyond(k, this.#chances)
    const hopes: number[] = []
    let { rows } = at(this.outlooks, k)
    for (let more = k + 1; more <= this.#setup.numSpeculativeTokens; more++) {
      const added = (draftRows: number) => this.#times.addedAtLeast(this.#size(more, draftRows))
      const hope = outlook(more, chances, this.#situation.draftRows, this.base, added)
      // Nobody has the room or the use for another draft.
      if (hope.rows <= rows) break
      rows = hope.rows
      if (hope.goodput > goodput) hopes.push(more)
    }
    return hopes
  }

  /** Requests that are better off with fewer drafts than k, and how many. */
  fewer(k: number): Map<number, number> {
    const fewer = new Map<number, number>()
    const chosen = at(this.outlooks, k)
    this.#situation.requests.forEach(({ id }, i) => {
      const drafts = draftsOf(at(this.#chances, i), chosen)
      if (drafts < k) fewer.set(id, drafts)
    })
    return fewer
  }

  #size(k: number, draftRows: number): StepSize {
    const decoding = this.#chances.length
    const draftPasses = this.#setup.verifiedAtOnce ? 0 : k
    return { decoding, draftRows, prefillRows: this.#situation.prefillRows, drafting: decoding, draftPasses }
  }
}
