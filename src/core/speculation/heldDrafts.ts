/**
 * The number of drafts in use, and when to leave it: only when another promised more for so long that staying has cost enough.
 * A great advantage is followed at once, a small one late, none below the margin; who turned back before waits longer. So equal
 * choices do not alternate, and every delay costs a few steps at most. It must never know where the promises come from.
 */

import { at } from '../../util/math.ts'
import type { Outlook } from './draftOutlook.ts'

/** Advantages up to 1 % are none. */
export const MARGIN = 0.01

/** What staying must have cost, in steps' worth of tokens: at first, and at most after many changes. */
const PATIENCE = 0.25
const MOST_PATIENCE = 4

/** Steps without a change after which patience is halved. */
const CALM_STEPS = 256

export class HeldDrafts {
  k = 0
  /** whether nothing promises more by the margin */
  leads = true
  /** whether steps without any, next to them, were begun since drafts were, to hold them against; or there is no need */
  proven = true
  /** what staying has cost since another began to lead, in steps' worth of tokens */
  #regret = 0
  #patience = PATIENCE
  #calm = 0
  /** whether the last change was to more drafts */
  #rose = true

  /**
   * Considers what each number of drafts promises.
   * @param reach the most that may be chosen
   * @param start what it costs until drafts can begin where there were none, in steps' worth of tokens: staying must have cost as
   * much, so that beginning in vain loses little more than waiting did (the break-even rule of ski rental)
   * @returns whether the number changed
   */
  weigh(outlooks: readonly Outlook[], reach: number, start: number): boolean {
    if (++this.#calm % CALM_STEPS === 0) this.#patience = Math.max(PATIENCE, this.#patience / 2)
    const held = at(outlooks, this.k)
    let best = held
    for (const outlook of outlooks) if (outlook.k <= reach && outlook.goodput > best.goodput) best = outlook
    const advantage = best.goodput / held.goodput - 1
    this.leads = advantage <= MARGIN
    this.#regret = this.leads ? 0 : this.#regret + advantage
    if (this.#regret < this.#patience + (this.k === 0 ? start : 0)) return false
    this.#change(best.k)
    return true
  }

  /** Leaves drafts altogether. @returns whether there were any */
  drop(): boolean {
    if (this.k === 0) return false
    this.#change(0)
    return true
  }

  /** Only who turns back was wrong: several steps in one direction are a way to go. */
  #change(k: number): void {
    if (this.k === 0) this.proven = false
    const rises = k > this.k
    if (rises !== this.#rose) this.#patience = Math.min(2 * this.#patience, MOST_PATIENCE)
    this.#rose = rises
    this.k = k
    this.leads = true
    this.#regret = 0
    this.#calm = 0
  }
}
