/** What tests of the page wait for, and how they look at it. */

import type { Page } from 'playwright-core'

/** Where pictures of the page go. */
export const SHOTS = 'out/screenshots'
export const VIEW = { width: 1440, height: 900 }

/** Waits until as many story cards as there are match: `tokens` came at least, and the state is one of these. */
export function storiesReach(page: Page, states: readonly string[], tokens = 0): Promise<unknown> {
  return page.waitForFunction(
    ([wanted, least]) => {
      const cards = [...document.querySelectorAll<HTMLElement>('[data-testid="story"]')]
      return cards.every(
        (card) => wanted.includes(card.dataset.state ?? '') && Number(card.dataset.tokens ?? 0) >= least,
      )
    },
    [states, tokens] as const,
  )
}

export function engineIs(page: Page, state: string): Promise<unknown> {
  return page.waitForSelector(`html[data-engine="${state}"]`)
}
