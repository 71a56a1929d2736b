/**
 * What a number of drafts would bring and cost in a step: expected tokens, expected milliseconds, and the one by the other, which
 * is what drafts are chosen by (SmartSpec's goodput). It must never know what was chosen before, nor times as such: what rows take
 * is asked of the caller.
 */

import { at } from '../../util/math.ts'

/** The chances of each request's drafts to be accepted with all before them: [requests][drafts it can use], never rising. */
export type Chances = readonly (readonly number[])[]

export interface Outlook {
  /** drafts of a request at most */
  readonly k: number
  /** a draft of less chance than this is left out */
  readonly least: number
  /** draft rows of the step */
  readonly rows: number
  /** tokens that decoding requests commit */
  readonly tokens: number
  /** what their step takes; of a step with prompt rows what base rows take alone and drafts add */
  readonly ms: number
  /** tokens per millisecond */
  readonly goodput: number
}

/** What draft rows and the passes that proposed them add to a step, milliseconds. */
export type AddedTime = (rows: number) => number

/**
 * @param room rows that drafts may take
 * @param base what the base rows take alone, milliseconds
 */
export function outlook(k: number, chances: Chances, room: number, base: number, added: AddedTime): Outlook {
  const { rows, tokens } = deal(k, chances, room)
  const ms = base + added(rows)
  return { k, least: 0, rows, tokens, ms, goodput: tokens / ms }
}

/** A leaner way to deal the same k must promise so much more: a lucky record of one request and a stray time look like gains. */
const LEANER_GAIN = 1.05

/**
 * The same number of drafts without those that are not worth their row: requests that are often wrong get fewer.
 * @param added the most that rows add: the gain must be one by what was measured
 * @returns `all` where that gains little, or where nobody would have k drafts
 */
export function leaner(all: Outlook, chances: Chances, room: number, base: number, added: AddedTime): Outlook {
  if (all.rows === 0) return all
  // What a row takes, in tokens.
  const least = (all.goodput * (added(all.rows) - added(0))) / all.rows
  const some = chances.map((own) => own.filter((chance) => chance >= least))
  if (some.every((own) => own.length < all.k)) return all
  const lean = outlook(all.k, some, room, base, added)
  return lean.goodput > all.goodput * LEANER_GAIN ? { ...lean, least } : all
}

/** Drafts of a request with these chances. */
export function draftsOf(own: readonly number[], { k, least }: Outlook): number {
  return own.slice(0, k).filter((chance) => chance >= least).length
}

/** The chances if every draft beyond the first `k` were accepted wherever the k-th is. */
export function acceptedBeyond(k: number, chances: Chances): Chances {
  return chances.map((own) => own.map((chance, i) => (i < k ? chance : k === 0 ? 1 : at(own, k - 1))))
}

/** Drafts are dealt in rounds, as the scheduler does: a round that finds too few rows reaches only some requests. */
function deal(k: number, chances: Chances, room: number): { rows: number; tokens: number } {
  let rows = 0
  let tokens = chances.length
  for (let round = 0; round < k; round++) {
    let wanted = 0
    let sum = 0
    for (const own of chances) {
      const chance = own[round]
      if (chance === undefined) continue
      wanted++
      sum += chance
    }
    const dealt = Math.min(wanted, Math.max(0, room - rows))
    if (dealt === 0) break
    rows += dealt
    tokens += (sum * dealt) / wanted
  }
  return { rows, tokens }
}
