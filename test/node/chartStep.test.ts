import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { RectShape, Shape } from '../../src/chart/displayList.ts'
import { type StepChartInput, stepChart } from '../../src/chart/stepChart.ts'
import { barLeft, rowsHeight, rowsY, stepAt, tickDistance } from '../../src/chart/stepLayout.ts'
import { chartSummary, rowsOf, stepFigures } from '../../src/chart/stepText.ts'
import { DARK_THEME, LIGHT_THEME } from '../../src/chart/theme.ts'
import { stepRecord, stepRecords } from '../helpers/stepRecords.ts'

const BAR_PARTS = ['base', 'accepted', 'rejected', 'prefill', 'overrun', 'refused']
const CLOSE = 1e-6

const inputs: fc.Arbitrary<StepChartInput> = fc
  .record({ limit: fc.integer({ min: 1, max: 1200 }), width: fc.integer({ min: 200, max: 1600 }) })
  .chain(({ limit, width }) =>
    fc.record({
      records: stepRecords(limit),
      limit: fc.constant(limit),
      width: fc.constant(width),
      height: fc.integer({ min: 120, max: 600 }),
      theme: fc.constantFrom(LIGHT_THEME, DARK_THEME),
      refused: fc.option(
        fc.nat({ max: 300 }).map((over) => ({ step: 401, rows: limit + 1 + over, limit })),
        {
          nil: undefined,
        },
      ),
      selected: fc.option(fc.nat({ max: 400 }), { nil: undefined }),
      legend: fc.boolean(),
      title: fc.constantFrom('', 'exact'),
    }),
  )

function parts(shapes: readonly Shape[]): RectShape[] {
  return shapes.filter((shape): shape is RectShape => shape.kind === 'rect' && BAR_PARTS.includes(shape.role))
}

describe('step-token chart', () => {
  it('draws every row of a step: the heights of a bar within the limit and its overrun sum to its rows', () => {
    fc.assert(
      fc.property(inputs, (input) => {
        const { shapes, layout } = stepChart(input)
        const bars = parts(shapes)
        for (let index = layout.first; index < layout.first + layout.count; index++) {
          const record = input.records[index]
          const rows = record ? rowsOf(record) : (input.refused?.rows ?? 0)
          const bar = bars.filter((part) => Math.abs(part.x - barLeft(layout, index)) < CLOSE)
          const overrun = bar.find((part) => part.role === 'overrun')
          const within = bar.filter((part) => part !== overrun).reduce((sum, part) => sum + part.height, 0)
          expect(within).toBeCloseTo(rowsHeight(layout, Math.min(rows, input.limit)), 6)
          const beyond = rowsHeight(layout, Math.max(0, rows - input.limit))
          expect(overrun?.height ?? 0).toBeCloseTo(rows > input.limit ? Math.max(3, beyond) : 0, 6)
        }
      }),
      { numRuns: 60 },
    )
  })

  it('stacks the parts of a bar without a gap or an overlap', () => {
    fc.assert(
      fc.property(inputs, (input) => {
        const { shapes, layout } = stepChart(input)
        const ground = layout.plot.y + layout.plot.height
        const tops = new Map<number, number>()
        for (const part of parts(shapes)) {
          expect(part.y + part.height).toBeCloseTo(tops.get(part.x) ?? ground, 6)
          tops.set(part.x, part.y)
        }
      }),
      { numRuns: 60 },
    )
  })

  it('crosses the limit with nothing but overruns, and leaves the plot with no bar at all', () => {
    fc.assert(
      fc.property(inputs, (input) => {
        const { shapes, layout } = stepChart(input)
        const { plot } = layout
        const crest = rowsY(layout, input.limit)
        for (const part of parts(shapes)) {
          if (part.role === 'overrun') expect(part.y + part.height).toBeCloseTo(crest, 6)
          else expect(part.y).toBeGreaterThanOrEqual(crest - CLOSE)
          expect(part.y).toBeGreaterThanOrEqual(plot.y - CLOSE)
          expect(part.y + part.height).toBeLessThanOrEqual(plot.y + plot.height + CLOSE)
          expect(part.x).toBeGreaterThanOrEqual(plot.x - CLOSE)
          expect(part.x + part.width).toBeLessThanOrEqual(plot.x + plot.width + CLOSE)
          expect(part.width).toBeGreaterThan(0)
        }
      }),
      { numRuns: 60 },
    )
  })

  it('finds the step under a pointer: the inverse of where its bar stands', () => {
    fc.assert(
      fc.property(inputs, (input) => {
        const { layout } = stepChart(input)
        for (let index = layout.first; index < layout.first + layout.count; index++) {
          expect(stepAt(layout, barLeft(layout, index) + layout.barWidth / 2)).toBe(index)
        }
        expect(stepAt(layout, layout.plot.x - 1)).toBeUndefined()
        expect(stepAt(layout, layout.plot.x + layout.count * layout.pitch + 1)).toBeUndefined()
      }),
      { numRuns: 60 },
    )
  })

  it('shows the last steps that fit, the refused one last', () => {
    const records = Array.from({ length: 500 }, (_, index) => stepRecord({ step: index + 1, baseRows: 16 }))
    const widths = { minPitch: 9, maxPitch: 9 }
    const refused = { step: 501, rows: 80, limit: 64 }
    const input = { records, limit: 64, width: 600, height: 300, theme: LIGHT_THEME, widths, refused }
    const { layout, shapes } = stepChart(input)
    expect(layout.first + layout.count).toBe(501)
    expect(layout.count).toBe(Math.floor(layout.plot.width / 9))
    expect(parts(shapes).filter((part) => part.role === 'base')).toHaveLength(layout.count - 1)
    const texts = shapes.flatMap((shape) => (shape.kind === 'text' && shape.role === 'refused-label' ? shape.text : []))
    expect(texts).toEqual(['BUDGET_EXCEEDED', '80 rows, room for 64'])
  })

  it('says the limit, and keeps its line below the first overrun row', () => {
    const overrun = stepRecord({ baseRows: 1, acceptedDrafts: 3, prefillRows: 573, limit: 576 })
    const { shapes } = stepChart({ records: [overrun], limit: 576, width: 500, height: 240, theme: LIGHT_THEME })
    const line = shapes.find((shape) => shape.kind === 'line' && shape.role === 'limit')
    const red = parts(shapes).find((part) => part.role === 'overrun')
    expect(shapes.some((shape) => shape.kind === 'text' && shape.text === 'B = 576')).toBe(true)
    expect(line?.kind === 'line' && red && line.y1 - line.width / 2 - (red.y + red.height)).toBeCloseTo(0, 6)
  })

  it('depends on its input alone', () => {
    fc.assert(
      fc.property(inputs, (input) => {
        expect(stepChart(input)).toEqual(stepChart(structuredClone(input)))
      }),
      { numRuns: 20 },
    )
  })
})

describe('ticks', () => {
  it('are the next 1, 2 or 5 times a power of ten', () => {
    expect([0, 0.3, 1, 1.2, 3, 6, 11, 26, 120, 501].map(tickDistance)).toEqual([1, 1, 1, 2, 5, 10, 20, 50, 200, 1000])
  })
})

describe('a step in words', () => {
  it('names the charge where it is not the rows', () => {
    const record = stepRecord({ baseRows: 1, acceptedDrafts: 2, rejectedDrafts: 1, prefillRows: 10, chargedRows: 11 })
    const figures = new Map(stepFigures(record))
    expect(figures.get('rows')).toBe('14 of 64')
    expect(figures.get('charged')).toBe('11')
    expect(figures.get('drafts accepted')).toBe('2')
    expect(figures.get('drafts rejected')).toBe('1')
    expect(figures.get('time')).toBe('32.0 ms')
    expect(new Map(stepFigures(stepRecord({ baseRows: 4 }))).has('charged')).toBe(false)
    expect(figures.has('drafts chosen')).toBe(false)
    const chosen = stepRecord({ drafts: { k: 2, reason: 'best' } })
    expect(new Map(stepFigures(chosen)).get('drafts chosen')).toBe('2, best')
  })

  it('sums a chart up', () => {
    const records = [stepRecord({ baseRows: 4 }), stepRecord({ baseRows: 6, step: 2 })]
    expect(chartSummary(records, 64)).toBe('Step-token chart of 2 steps: 5.0 rows on average, 6 at most, limit 64.')
    expect(chartSummary(records, 64, { step: 3, rows: 70, limit: 64 })).toContain('Step 3 was refused: 70 rows')
  })
})
