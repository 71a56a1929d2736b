/**
 * The chart of acceptance by position: one bar per draft position, whose length is the position's acceptance rate, with the rate
 * and the number of verified drafts beside it. A pure function to a display list. It must never know the painter or the engine.
 */

import type { SpeculationStats } from '../protocol/speculation.ts'
import type { DisplayList, Shape, TextShape } from './displayList.ts'
import { percentText, trialsText } from './draftText.ts'
import type { ChartTheme } from './theme.ts'

export interface AcceptanceChartInput extends Pick<SpeculationStats, 'verified' | 'accepted'> {
  readonly width: number
  readonly height: number
  readonly theme: ChartTheme
  /** shown when no draft was verified */
  readonly emptyText: string
}

/** Widths of the columns: position on the left, rate and number of trials on the right. */
const NAME_WIDTH = 56
const SHARE_WIDTH = 48
const TRIALS_WIDTH = 66
const MOST_PITCH = 26
const BAR_HEIGHT = 10
const TEXT_SIZE = 13
/** Keeps a small rate above 0 visible. */
const LEAST_BAR_PX = 1.5

/** A suitable height for so many positions, or for the empty text. */
export function acceptanceHeight(positions: number): number {
  return Math.max(1, positions) * 22
}

export function acceptanceChart(input: AcceptanceChartInput): DisplayList {
  const { verified, height, theme } = input
  if (verified.every((trials) => trials === 0)) {
    return [text('empty', 0, height / 2, input.emptyText, theme.muted, 'start')]
  }
  const pitch = Math.min(MOST_PITCH, height / verified.length)
  const top = (height - pitch * verified.length) / 2
  return verified.flatMap((_, index) => row(input, index, top + (index + 0.5) * pitch))
}

/** @param middle y of the row's centre */
function row({ verified, accepted, width, theme }: AcceptanceChartInput, index: number, middle: number): Shape[] {
  const trials = verified[index] ?? 0
  const share = trials > 0 ? (accepted[index] ?? 0) / trials : 0
  const length = Math.max(1, width - NAME_WIDTH - SHARE_WIDTH - TRIALS_WIDTH)
  const bar = { kind: 'rect', x: NAME_WIDTH, y: middle - BAR_HEIGHT / 2, height: BAR_HEIGHT, radius: 2 } as const
  const shapes: Shape[] = [
    text('position', 0, middle, `draft ${index + 1}`, theme.muted, 'start'),
    { ...bar, role: 'track', width: length, fill: theme.free },
  ]
  if (share > 0) {
    shapes.push({ ...bar, role: 'share', width: Math.max(LEAST_BAR_PX, share * length), fill: theme.accepted })
  }
  if (trials > 0) {
    const end = width - TRIALS_WIDTH
    shapes.push({ ...text('percent', end, middle, percentText(share), theme.ink, 'end'), bold: true })
  }
  shapes.push(text('trials', width, middle, trials > 0 ? `of ${trialsText(trials)}` : 'not tried', theme.muted, 'end'))
  return shapes
}

/** @param middle y of the text's vertical centre */
function text(
  role: string,
  x: number,
  middle: number,
  words: string,
  fill: string,
  anchor: TextShape['anchor'],
): TextShape {
  return { kind: 'text', role, x, y: middle + TEXT_SIZE * 0.35, text: words, fill, size: TEXT_SIZE, anchor }
}
