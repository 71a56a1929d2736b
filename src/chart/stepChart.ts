/**
 * The step-token chart: one stacked bar of rows per engine step, and a line at `maxNumBatchedTokens`. A pure function from step
 * records to a display list. It must never know the painter or the engine.
 */

import type { StepRecord } from '../protocol/stepRecord.ts'
import type { Box, DisplayList, Shape } from './displayList.ts'
import {
  type BarWidths,
  barLeft,
  firstShown,
  rowsHeight,
  rowsY,
  type StepLayout,
  stepLayout,
  tickDistance,
} from './stepLayout.ts'
import { type RefusedStep, rowsOf } from './stepText.ts'
import type { ChartTheme } from './theme.ts'

export interface StepChartInput {
  readonly records: readonly StepRecord[]
  /** B, `maxNumBatchedTokens` */
  readonly limit: number
  /** a refused step, drawn after the last record */
  readonly refused?: RefusedStep | undefined
  readonly width: number
  readonly height: number
  readonly theme: ChartTheme
  /** bounds of the distance between bars; default: FITTED */
  readonly widths?: BarWidths
  readonly title?: string
  /** whether to draw a legend below the title */
  readonly legend?: boolean
  /** index of the highlighted step; the refused step's index is the number of records */
  readonly selected?: number | undefined
  /** shown when there are no steps */
  readonly emptyText?: string
}

export interface StepChart {
  readonly shapes: DisplayList
  readonly layout: StepLayout
}

type Part = 'base' | 'accepted' | 'rejected' | 'prefill'

/** The segments of a bar from bottom to top, with their names in the legend. */
export const STEP_PARTS: readonly { readonly part: Part; readonly name: string }[] = [
  { part: 'base', name: 'base rows' },
  { part: 'accepted', name: 'accepted drafts' },
  { part: 'rejected', name: 'rejected drafts' },
  { part: 'prefill', name: 'prefill rows' },
]

const FITTED: BarWidths = { minPitch: 5, maxPitch: 56 }
/** Keeps an overrun visible: a few rows of hundreds would be less than a pixel. */
const LEAST_OVERRUN_PX = 3
const LABEL_SIZE = 11
const TITLE_SIZE = 13

/** Draws the last steps that fit. Time and space O(steps shown). */
export function stepChart(input: StepChartInput): StepChart {
  const { records, refused, limit } = input
  const widths = input.widths ?? FITTED
  const plot = plotBox(input)
  const steps = records.length + (refused ? 1 : 0)
  let most = Math.max(limit, refused?.rows ?? 0)
  for (const record of records.slice(firstShown(plot, steps, widths))) most = Math.max(most, rowsOf(record))
  const layout = stepLayout(plot, steps, most, widths)

  const shapes: Shape[] = []
  frame(shapes, input, layout, most)
  for (let index = layout.first; index < layout.first + layout.count; index++) {
    if (index === input.selected) shapes.push(selection(layout, index, input.theme))
    const record = records[index]
    if (record) bar(shapes, layout, index, record, limit, input.theme)
    else if (refused) refusedBar(shapes, layout, index, refused, input.theme)
  }
  if (limit > 0) limitLine(shapes, input, layout)
  stepLabels(shapes, input, layout)
  if (refused) refusedLabel(shapes, layout, refused, input)
  if (steps === 0 && input.emptyText) {
    const middle = { x: plot.x + plot.width / 2, y: plot.y + plot.height * 0.6 }
    shapes.push(label('empty', middle.x, middle.y, input.emptyText, input.theme.muted, 'middle', 13))
  }
  return { shapes, layout }
}

function plotBox(input: StepChartInput): Box {
  const top = 8 + (input.title ? TITLE_SIZE + 10 : 0) + (input.legend ? LABEL_SIZE + 11 : 0)
  const [left, right, bottom] = [40, 60, 22]
  return {
    x: left,
    y: top,
    width: Math.max(1, input.width - left - right),
    height: Math.max(1, input.height - top - bottom),
  }
}

/** Background, title, legend, the area below the limit, grid and row numbers. */
function frame(shapes: Shape[], input: StepChartInput, layout: StepLayout, most: number): void {
  const { theme, limit, width, height } = input
  const { plot } = layout
  shapes.push({ kind: 'rect', role: 'ground', x: 0, y: 0, width, height, fill: theme.ground })
  let y = 8
  if (input.title) {
    y += TITLE_SIZE
    shapes.push(label('title', 12, y, input.title, theme.ink, 'start', TITLE_SIZE, true))
    y += 10
  }
  if (input.legend) legend(shapes, theme, y)

  const crest = rowsY(layout, limit)
  const depth = plot.y + plot.height - crest
  shapes.push({
    kind: 'rect',
    role: 'channel',
    x: plot.x,
    y: crest,
    width: plot.width,
    height: depth,
    fill: theme.channel,
  })
  const distance = tickDistance((26 / plot.height) * layout.top)
  for (let rows = 0; rows <= most; rows += distance) {
    const tickY = rowsY(layout, rows)
    const end = plot.x + plot.width
    shapes.push({
      kind: 'line',
      role: 'grid',
      x1: plot.x,
      y1: tickY,
      x2: end,
      y2: tickY,
      stroke: theme.grid,
      width: 1,
    })
    shapes.push(label('row-label', plot.x - 8, tickY + LABEL_SIZE / 3, `${rows}`, theme.muted, 'end'))
  }
}

function legend(shapes: Shape[], theme: ChartTheme, y: number): void {
  let x = 12
  for (const { part, name } of STEP_PARTS) {
    shapes.push({ kind: 'rect', role: 'swatch', x, y: y + 1, width: 10, height: 10, fill: theme[part], radius: 2 })
    shapes.push(label('legend', x + 15, y + 10, name, theme.muted, 'start'))
    x += 27 + name.length * 5.9
  }
}

/** One step's segments from bottom to top; rows above the limit are drawn as overrun, whatever their kind. */
function bar(
  shapes: Shape[],
  layout: StepLayout,
  index: number,
  record: StepRecord,
  limit: number,
  theme: ChartTheme,
): void {
  const rows = {
    base: record.baseRows,
    accepted: record.acceptedDrafts,
    rejected: record.draftRows - record.acceptedDrafts,
    prefill: record.prefillRows,
  }
  let from = 0
  for (const { part } of STEP_PARTS) {
    const to = Math.min(limit, from + rows[part])
    if (to > from) shapes.push(segment(layout, index, part, from, to, theme[part]))
    from = Math.max(from, to)
  }
  const total = rowsOf(record)
  if (total > limit) shapes.push(overrun(layout, index, limit, total, theme))
}

function refusedBar(shapes: Shape[], layout: StepLayout, index: number, refused: RefusedStep, theme: ChartTheme): void {
  shapes.push(segment(layout, index, 'refused', 0, Math.min(refused.rows, refused.limit), theme.refused))
  if (refused.rows > refused.limit) {
    shapes.push(overrun(layout, index, refused.limit, refused.rows, theme))
  }
}

function overrun(layout: StepLayout, index: number, limit: number, rows: number, theme: ChartTheme): Shape {
  const height = Math.max(LEAST_OVERRUN_PX, rowsHeight(layout, rows - limit))
  const y = rowsY(layout, limit) - height
  return {
    kind: 'rect',
    role: 'overrun',
    x: barLeft(layout, index),
    y,
    width: layout.barWidth,
    height,
    fill: theme.overrun,
  }
}

function segment(layout: StepLayout, index: number, role: string, from: number, to: number, fill: string): Shape {
  const height = rowsHeight(layout, to - from)
  return {
    kind: 'rect',
    role,
    x: barLeft(layout, index),
    y: rowsY(layout, to),
    width: layout.barWidth,
    height,
    fill,
  }
}

function selection(layout: StepLayout, index: number, theme: ChartTheme): Shape {
  const { plot, pitch } = layout
  const x = plot.x + (index - layout.first) * pitch
  return { kind: 'rect', role: 'selection', x, y: plot.y, width: pitch, height: plot.height, fill: theme.selection }
}

/** The line is drawn just below the limit, so that it hides no pixel of an overrun. */
function limitLine(shapes: Shape[], input: StepChartInput, layout: StepLayout): void {
  const y = rowsY(layout, input.limit) + 1
  const end = layout.plot.x + layout.plot.width
  const stroke = input.theme.limit
  shapes.push({ kind: 'line', role: 'limit', x1: layout.plot.x, y1: y, x2: end + 4, y2: y, stroke, width: 2 })
  shapes.push(
    label('limit-label', end + 8, y + LABEL_SIZE / 3, `B = ${input.limit}`, stroke, 'start', LABEL_SIZE, true),
  )
}

/** Labels round step numbers rather than fixed positions, so that a label moves along with its bar. */
function stepLabels(shapes: Shape[], input: StepChartInput, layout: StepLayout): void {
  const y = layout.plot.y + layout.plot.height + 15
  const distance = tickDistance(44 / layout.pitch)
  for (let index = layout.first; index < layout.first + layout.count; index++) {
    const step = input.records[index]?.step ?? input.refused?.step
    if (step === undefined || step % distance !== 0) continue
    const x = barLeft(layout, index) + layout.barWidth / 2
    const text = distance === 1 && layout.count < 12 ? `step ${step}` : `${step}`
    shapes.push(label('step-label', x, y, text, input.theme.muted, 'middle'))
  }
}

/** Labels the refused step, on the side of its bar that has room. */
function refusedLabel(shapes: Shape[], layout: StepLayout, refused: RefusedStep, input: StepChartInput): void {
  const index = layout.first + layout.count - 1
  const left = barLeft(layout, index)
  const right = left + layout.barWidth
  const roomRight = input.width - right
  const [x, anchor] = roomRight > 150 ? ([right + 10, 'start'] as const) : ([left - 10, 'end'] as const)
  const y = layout.plot.y + layout.plot.height * 0.45
  const { theme } = input
  const texts = ['BUDGET_EXCEEDED', `${refused.rows} rows, room for ${refused.limit}`]
  if (anchor === 'end') {
    const width = 150
    const fill = theme.ground
    shapes.push({ kind: 'rect', role: 'label-ground', x: x - width + 6, y: y - 15, width, height: 38, fill, radius: 4 })
  }
  shapes.push(label('refused-label', x, y, texts[0] ?? '', theme.overrun, anchor, 12, true))
  shapes.push(label('refused-label', x, y + 16, texts[1] ?? '', theme.ink, anchor, 12))
}

function label(
  role: string,
  x: number,
  y: number,
  text: string,
  fill: string,
  anchor: 'start' | 'middle' | 'end',
  size = LABEL_SIZE,
  bold = false,
): Shape {
  return { kind: 'text', role, x, y, text, fill, size, anchor, ...(bold ? { bold } : {}) }
}
