/**
 * The chances of each request's drafts in one decision, each to be accepted with all before it: never rising along a run. One
 * object that is filled anew for every decision; requests that are like everybody are only counted, so that a decision costs
 * little even for hundreds. It must never know times.
 */

import type { AcceptanceEstimate } from './acceptanceEstimate.ts'
import type { DraftingRequest } from './draftPolicy.ts'

/** Drafts dealt at one place of the runs. */
export interface Round {
  /** requests that can use one */
  readonly wanted: number
  /** sum of the chances of those drafts */
  readonly chances: number
}

const NO_CHANCES: readonly number[] = []

export class DraftChances {
  readonly #most: number
  /** of requests that are like everybody */
  #usual: readonly number[] = NO_CHANCES // [numSpeculativeTokens]
  /** by request: its own chances, or the usual ones */
  readonly #chances: (readonly number[])[] = [] // [requests][numSpeculativeTokens]
  /** by request: the drafts that it can use */
  readonly #lengths: number[] = [] // [requests]
  /** what every draft brings, dealt in rounds */
  rounds: readonly Round[] = [] // [numSpeculativeTokens]
  /** whether some request is not like everybody */
  varied = false
  /** shared rates */
  rates: readonly number[] = [] // [numSpeculativeTokens]

  constructor(numSpeculativeTokens: number) {
    this.#most = numSpeculativeTokens
  }

  get requests(): number {
    return this.#lengths.length
  }

  /** The most drafts that some request can use. */
  get longest(): number {
    let longest = 0
    for (const length of this.#lengths) longest = Math.max(longest, length)
    return longest
  }

  fill(requests: readonly DraftingRequest[], acceptance: AcceptanceEstimate): void {
    this.rates = acceptance.rates()
    this.#usual = chancesOf(this.rates)
    this.#chances.length = 0
    this.#lengths.length = 0
    for (const { id, limit } of requests) {
      const own = acceptance.own(id, this.rates)
      this.#chances.push(own ? chancesOf(own) : this.#usual)
      this.#lengths.push(Math.min(limit, this.#most))
    }
    this.varied = this.#chances.some((chances) => chances !== this.#usual)
    this.rounds = this.atLeast(0, this.#most)
  }

  /** The first rounds without drafts of less chance than `least`. */
  atLeast(least: number, count: number): readonly Round[] {
    const rounds: Round[] = []
    for (let position = 0; position < count; position++) {
      let wanted = 0
      let chances = 0
      for (let request = 0; request < this.#lengths.length; request++) {
        if (this.#length(request) <= position) continue
        const chance = this.#chance(request, position)
        if (chance < least) continue
        wanted++
        chances += chance
      }
      rounds.push({ wanted, chances })
    }
    return rounds
  }

  /** The rounds if every draft beyond the first `k` were accepted wherever the k-th is. */
  acceptedBeyond(k: number): readonly Round[] {
    return this.rounds.map((round, position) => {
      if (position < k) return round
      const { wanted } = round
      if (k === 0) return { wanted, chances: wanted }
      let chances = 0
      for (let request = 0; request < this.#lengths.length; request++) {
        if (this.#length(request) > position) chances += this.#chance(request, k - 1)
      }
      return { wanted, chances }
    })
  }

  /** Of the first `k` drafts of a request those of at least this chance. */
  usable(request: number, k: number, least: number): number {
    let usable = Math.min(k, this.#length(request))
    while (usable > 0 && this.#chance(request, usable - 1) < least) usable--
    return usable
  }

  #length(request: number): number {
    return this.#lengths[request] ?? 0
  }

  #chance(request: number, position: number): number {
    return (this.#chances[request] ?? NO_CHANCES)[position] ?? 0
  }
}

function chancesOf(rates: readonly number[]): number[] {
  let chance = 1
  return rates.map((rate) => {
    chance *= rate
    return chance
  })
}
