/**
 * The geometry of the step-token chart: its scale, the window of the last steps that fit, and the step at a pointer's x. It
 * must never know colours.
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

/** Room above the highest bar or the limit line, so that neither the line nor a label is cut off. */
const HEADROOM = 1.12

/** Index of the first step shown: only the last steps are, where all of them would be closer than `minPitch`. */
export function firstShown(plot: Box, steps: number, widths: BarWidths): number {
  return Math.max(0, steps - Math.max(1, Math.floor(plot.width / widths.minPitch)))
}

/**
 * Fits the last of `steps` bars into `plot`, each as wide as `maxPitch` allows.
 * @param most the limit or the rows of the largest step, whichever is more
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

/** Height of `rows` in pixels. */
export function rowsHeight(layout: StepLayout, rows: number): number {
  return (rows / layout.top) * layout.plot.height
}

/** y of the top of a bar of `rows`. */
export function rowsY(layout: StepLayout, rows: number): number {
  return layout.plot.y + layout.plot.height - rowsHeight(layout, rows)
}

/** Index of the step whose column contains x; undefined outside the columns. Inverse of `barLeft`. */
export function stepAt(layout: StepLayout, x: number): number | undefined {
  const column = Math.floor((x - layout.plot.x) / layout.pitch)
  return column >= 0 && column < layout.count ? layout.first + column : undefined
}

/** Distance between ticks: the smallest 1, 2 or 5 times a power of ten that is at least `least`, and at least 1. */
export function tickDistance(least: number): number {
  if (!(least > 1)) return 1
  const power = 10 ** Math.floor(Math.log10(least))
  const factor = [1, 2, 5, 10].find((step) => step * power >= least) ?? 10
  return factor * power
}
