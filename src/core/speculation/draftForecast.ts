/**
 * The outlooks of one decision: every number of drafts in one situation, by the times and the acceptance known so far, and how
 * far they may be wrong. A throw-away object. It must never know which number is held.
 */

import { at } from '../../util/math.ts'
import type { AcceptanceEstimate } from './acceptanceEstimate.ts'
import type { CatchUpTime } from './catchUpTime.ts'
import type { DraftChances } from './draftChances.ts'
import { leaner, type Outlook, outlook, type Scale } from './draftOutlook.ts'
import type { DraftSituation } from './draftPolicy.ts'
import type { StepSize, StepTimes } from './stepTimes.ts'
import { TRUSTED_SAMPLES } from './timePoint.ts'

/** Standard errors of bad luck that are hoped against. With more what cannot pay is tried for long. */
const HOPE = 3

export interface ForecastSetup {
  /** the most drafts */
  readonly numSpeculativeTokens: number
  /** whether drafts are proposed on the host for the step that they are decided for, rather than by passes at the end of the one before */
  readonly verifiedAtOnce: boolean
}

/** What a forecast rests on. */
export interface Knowledge {
  readonly setup: ForecastSetup
  readonly times: StepTimes
  readonly catchUp: CatchUpTime
  readonly acceptance: AcceptanceEstimate
  /** of this decision's requests */
  readonly chances: DraftChances
}

export class DraftForecast {
  readonly scale: Scale
  /** of 0… drafts */
  readonly outlooks: readonly Outlook[] // [numSpeculativeTokens + 1]
  /** the most drafts whose time is measured, or the next beyond: who goes up goes step by step */
  readonly reach: number
  /** what it takes the drafter to catch up before all that can use drafts have any, milliseconds */
  readonly start: number
  readonly #situation: DraftSituation
  readonly #knowledge: Knowledge

  constructor(situation: DraftSituation, base: number, knowledge: Knowledge) {
    const { setup, times, chances } = knowledge
    const scale = { decoding: chances.requests, room: situation.draftRows, base }
    this.scale = scale
    this.#situation = situation
    this.#knowledge = knowledge
    const outlooks: Outlook[] = []
    for (let k = 0; k <= setup.numSpeculativeTokens; k++) {
      const all = outlook(k, chances.rounds, scale, (rows) => times.added(this.#size(k, rows)))
      outlooks.push(leaner(all, chances, scale, (rows) => times.addedAtMost(this.#size(k, rows))))
    }
    this.outlooks = outlooks
    this.start = knowledge.catchUp.of(lagOf(situation, NOBODY), scale.decoding, base)
    // Beside prompts costs are guesses: that is no place to go beyond what was measured.
    const beyond = situation.prefillRows > 0 ? 0 : 1
    let reach = 0
    while (reach < setup.numSpeculativeTokens) {
      const next = at(outlooks, reach + 1)
      if (!times.covers(this.#size(next.k, next.rows))) break
      reach++
    }
    this.reach = Math.min(reach + beyond, setup.numSpeculativeTokens)
  }

  /** Whether what was measured of a number of drafts may have been stray times: it was once, or it is more than rows can take. */
  rumoured(k: number): boolean {
    const { rows, ms } = at(this.outlooks, k)
    const samples = this.#knowledge.times.samples(this.#size(k, rows))
    return samples === 1 || (samples > 1 && samples < TRUSTED_SAMPLES && ms > 2 * (1 + k) * this.scale.base)
  }

  /** Of some numbers of drafts the one that may well bring most, if that is more than `goodput`. */
  promising(candidates: readonly number[], goodput: number): { k: number; goodput: number } | undefined {
    let most = goodput
    let promising: { k: number; goodput: number } | undefined
    for (const k of candidates) {
      const hope = this.#hope(k)
      if (hope <= most) continue
      most = hope
      promising = { k, goodput: hope }
    }
    return promising
  }

  /** The numbers above `k` that might pay: more than `goodput` if every further draft were accepted, by times that are believed. */
  hopesAbove(k: number, goodput: number): number[] {
    const { setup, times, chances } = this.#knowledge
    const hopes: number[] = []
    let { rows } = at(this.outlooks, k)
    if (k === setup.numSpeculativeTokens) return hopes
    const rounds = chances.acceptedBeyond(k)
    for (let more = k + 1; more <= setup.numSpeculativeTokens; more++) {
      const hope = outlook(more, rounds, this.scale, (draftRows) => times.addedAtLeast(this.#size(more, draftRows)))
      // Nobody has the room or the use for another draft.
      if (hope.rows <= rows) break
      rows = hope.rows
      if (hope.goodput > goodput) hopes.push(more)
    }
    return hopes
  }

  /** Requests that are better off with fewer drafts than k, and how many. */
  fewer(k: number): ReadonlyMap<number, number> {
    const { least } = at(this.outlooks, k)
    const { requests } = this.#situation
    let fewer: Map<number, number> | undefined
    for (let i = 0; i < requests.length; i++) {
      const drafts = this.#knowledge.chances.usable(i, k, least)
      if (drafts === k) continue
      fewer ??= new Map()
      fewer.set(at(requests, i).id, drafts)
    }
    return fewer ?? NOBODY
  }

  /** Whether somebody cannot have its part of k drafts yet. */
  lags(k: number): boolean {
    return k > 0 && lagOf(this.#situation, this.fewer(k)) > 0
  }

  /** Tokens per millisecond that a number of drafts brings if its times and the acceptance were measured with bad luck. */
  #hope(k: number): number {
    const { times, acceptance, chances } = this.#knowledge
    const { goodput, tokens, rows, ms } = at(this.outlooks, k)
    const timeError = times.error(this.#size(k, rows)) / ms
    let variance = timeError * timeError
    let tail = 0
    for (let position = k - 1; position >= 0; position--) {
      tail += at(chances.rounds, position).chances
      const share = tail / tokens / Math.max(0.05, at(chances.rates, position))
      variance += share * share * acceptance.variance(position)
    }
    return goodput * (1 + HOPE * Math.sqrt(variance))
  }

  #size(k: number, draftRows: number): StepSize {
    const { decoding } = this.scale
    const { setup, chances } = this.#knowledge
    // Requests near their end can use few drafts: no pass runs beyond.
    const draftPasses = setup.verifiedAtOnce ? 0 : Math.min(k, chances.longest)
    return { decoding, draftRows, prefillRows: this.#situation.prefillRows, drafting: decoding, draftPasses }
  }
}

export const NOBODY: ReadonlyMap<number, number> = new Map()

/** Rows to catch up on of those that get drafts. */
function lagOf({ requests }: DraftSituation, fewer: ReadonlyMap<number, number>): number {
  let rows = 0
  for (const { id, limit, lag } of requests) if (limit > 0 && fewer.get(id) !== 0) rows += lag
  return rows
}
