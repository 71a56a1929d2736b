/**
 * Where the bars of the step-token chart stand: scale, window of the last steps that fit, and the way back from a
 * pointer's x to a step. It never knows colours.
 */

import type { Box } from './displayList.ts'

export interface StepLayout {
  /** the area of the bars */
  readonly plot: Box
  /** index of the first step shown */
  readonly first: number
  /** steps shown */
  readonly count: number
  /** distance between two bars' left edges */
  readonly pitch: number
  readonly barWidth: number
  /** rows at the top edge of the plot */
  readonly top: number
}

export interface BarWidths {
  readonly minPitch: number
  readonly maxPitch: number
}

/** Room above the highest bar or the limit, so that the line's crest and a label are never cut. */
const HEADROOM = 1.12

/** Index of the first step shown: only the last ones are, once all would stand closer than `minPitch`. */
export function firstShown(plot: Box, steps: number, widths: BarWidths): number {
  return Math.max(0, steps - Math.max(1, Math.floor(plot.width / widths.minPitch)))
}

/**
 * Fits `steps` bars into `plot`: as wide as `maxPitch` allows. `most` is the largest number of rows of any step or the limit, whichever is more.
 */
export function stepLayout(plot: Box, steps: number, most: number, widths: BarWidths): StepLayout {
  const first = firstShown(plot, steps, widths)
  const count = steps - first
  const pitch = Math.min(widths.maxPitch, plot.width / Math.max(1, count))
  const gap = Math.min(pitch * 0.25, 6)
  return { plot, first, count, pitch, barWidth: pitch - gap, top: Math.max(1, most) * HEADROOM }
}

/** Left edge of a step's bar. */
export function barLeft(layout: StepLayout, index: number): number {
  return layout.plot.x + (index - layout.first) * layout.pitch + (layout.pitch - layout.barWidth) / 2
}

/** Height of so many rows, in pixels. */
export function rowsHeight(layout: StepLayout, rows: number): number {
  return (rows / layout.top) * layout.plot.height
}

/** y of so many rows above the ground line. */
export function rowsY(layout: StepLayout, rows: number): number {
  return layout.plot.y + layout.plot.height - rowsHeight(layout, rows)
}

/** The step whose column holds x, or undefined beside the bars. Inverse of `barLeft`. */
export function stepAt(layout: StepLayout, x: number): number | undefined {
  const column = Math.floor((x - layout.plot.x) / layout.pitch)
  return column >= 0 && column < layout.count ? layout.first + column : undefined
}

/** A round distance between ticks: the smallest 1, 2 or 5 times a power of ten that is at least `least`. */
export function tickDistance(least: number): number {
  if (!(least > 1)) return 1
  const power = 10 ** Math.floor(Math.log10(least))
  const factor = [1, 2, 5, 10].find((step) => step * power >= least) ?? 10
  return factor * power
}
