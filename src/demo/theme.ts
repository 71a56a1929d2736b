/** The chart theme that matches the system's, also given to the style sheet as custom properties. */

import { type ChartTheme, DARK_THEME, LIGHT_THEME } from '../chart/theme.ts'

const SWATCHES = ['base', 'accepted', 'rejected', 'prefill', 'overrun', 'free'] as const

export class PageTheme {
  readonly #dark = matchMedia('(prefers-color-scheme: dark)')

  /** `onChange` runs when the system turns from light to dark or back. */
  constructor(onChange: () => void) {
    this.#apply()
    this.#dark.addEventListener('change', () => {
      this.#apply()
      onChange()
    })
  }

  get current(): ChartTheme {
    return this.#dark.matches ? DARK_THEME : LIGHT_THEME
  }

  #apply(): void {
    const { style } = document.documentElement
    for (const name of SWATCHES) style.setProperty(`--${name}`, this.current[name])
  }
}
