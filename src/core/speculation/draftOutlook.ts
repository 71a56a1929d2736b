/**
 * What a number of drafts would bring and cost in a step: expected tokens, expected milliseconds, and the one by the other, which
 * is what drafts are chosen by (SmartSpec's goodput). It must never know what was chosen before, nor times as such: what rows take
 * is asked of the caller.
 */

import { at } from '../../util/math.ts'
import type { DraftChances, Round } from './draftChances.ts'

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

/** What a step is weighed by. */
export interface Scale {
  /** its decoding requests */
  readonly decoding: number
  /** rows that drafts may take */
  readonly room: number
  /** what the base rows take alone, milliseconds */
  readonly base: number
}

/** Drafts are dealt in rounds, as the scheduler does: a round that finds too few rows reaches only some requests. */
export function outlook(k: number, rounds: readonly Round[], scale: Scale, added: AddedTime): Outlook {
  let rows = 0
  let tokens = scale.decoding
  for (let i = 0; i < k; i++) {
    const { wanted, chances } = at(rounds, i)
    const dealt = Math.min(wanted, Math.max(0, scale.room - rows))
    if (dealt === 0) break
    rows += dealt
    tokens += (chances * dealt) / wanted
  }
  const ms = scale.base + added(rows)
  return { k, least: 0, rows, tokens, ms, goodput: tokens / ms }
}

/** A leaner way to deal the same k must promise so much more: a lucky record of one request and a stray time look like gains. */
const LEANER_GAIN = 1.05

/**
 * The same number of drafts without those that are not worth their row: requests that are often wrong get fewer.
 * @param added the most that rows add: the gain must be one by what was measured
 * @returns `all` where that gains little, or where nobody would have k drafts
 */
export function leaner(all: Outlook, chances: DraftChances, scale: Scale, added: AddedTime): Outlook {
  if (all.rows === 0 || !chances.varied) return all
  // What a row takes, in tokens.
  const least = (all.goodput * (added(all.rows) - added(0))) / all.rows
  if (least <= 0) return all
  const rounds = chances.atLeast(least, all.k)
  if (at(rounds, all.k - 1).wanted === 0) return all
  const lean = outlook(all.k, rounds, scale, added)
  return lean.goodput > all.goodput * LEANER_GAIN ? { ...lean, least } : all
}
