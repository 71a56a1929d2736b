/** What a page is checked for whatever is on it: targets too small for a finger, text too faint to read. */

import type { Page } from 'playwright-core'

/** Unfolds whatever is folded away. */
export function openAll(page: Page): Promise<void> {
  return page.evaluate(() => {
    for (const details of document.querySelectorAll('details')) details.open = true
  })
}

/** What can be pressed, chosen or typed into and is narrower or lower than `least` px; a box or file is its label's. */
export function smallTargets(page: Page, least: number): Promise<string[]> {
  return page.evaluate((px) => {
    const targets = document.querySelectorAll<HTMLElement>('a, button, input, select, textarea, summary, [tabindex]')
    return [...targets].flatMap((target) => {
      const own = target instanceof HTMLInputElement && /checkbox|radio|file/.test(target.type)
      const { width, height } = ((own && target.closest('label')) || target).getBoundingClientRect()
      const hidden = !target.checkVisibility()
      if (hidden || (width >= px - 0.01 && height >= px - 0.01)) return []
      return [`${target.tagName} ${target.id || target.className}: ${width} × ${height}`]
    })
  }, least)
}

/** Text of less contrast than `least` to the ground behind it, by WCAG 2; what is disabled need not be read. */
export function lowContrast(page: Page, least: number): Promise<string[]> {
  return page.evaluate((ratio) => {
    const context = document.createElement('canvas').getContext('2d', { willReadFrequently: true })
    if (!context) throw new Error('no canvas')
    /** `colour` on top of `ground`, as light from 0 to 1 */
    const paint = (colours: readonly string[]) => {
      for (const colour of colours) {
        context.fillStyle = colour
        context.fillRect(0, 0, 1, 1)
      }
      const [r = 0, g = 0, b = 0] = [...context.getImageData(0, 0, 1, 1).data].map((byte) => {
        const c = byte / 255
        return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4
      })
      return 0.2126 * r + 0.7152 * g + 0.0722 * b
    }
    const found = new Set<string>()
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
    while (walker.nextNode()) {
      const parent = walker.currentNode.parentElement
      if (!parent || walker.currentNode.textContent?.trim() === '') continue
      if (!parent.checkVisibility() || parent.closest(':disabled, svg, script, .unseen')) continue
      const grounds: string[] = []
      for (let at: Element | null = parent; at; at = at.parentElement)
        grounds.unshift(getComputedStyle(at).backgroundColor)
      const ground = paint(['#fff', ...grounds])
      const ink = paint([getComputedStyle(parent).color])
      const contrast = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05)
      if (contrast < ratio) found.add(`${parent.tagName}.${parent.className} ${contrast.toFixed(2)}`)
    }
    return [...found]
  }, least)
}
