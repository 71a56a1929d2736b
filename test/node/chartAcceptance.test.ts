import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { acceptanceChart, acceptanceHeight } from '../../src/chart/acceptanceChart.ts'
import type { DisplayList, RectShape, TextShape } from '../../src/chart/displayList.ts'
import { acceptanceSummary, choiceText, percentText, trialsText } from '../../src/chart/draftText.ts'
import { svgDocument } from '../../src/chart/svg.ts'
import { DARK_THEME, LIGHT_THEME } from '../../src/chart/theme.ts'
import type { DraftReason } from '../../src/protocol/speculation.ts'

/** Trials and those of them that were right, at each position. */
const counts = fc
  .array(fc.tuple(fc.nat({ max: 5_000_000 }), fc.double({ min: 0, max: 1, noNaN: true })), {
    minLength: 1,
    maxLength: 4,
  })
  .map((positions) => ({
    verified: positions.map(([trials]) => trials),
    accepted: positions.map(([trials, share]) => Math.round(trials * share)),
  }))
const width = fc.integer({ min: 260, max: 900 })

function chart(some: { verified: readonly number[]; accepted: readonly number[] }, w = 320, theme = LIGHT_THEME) {
  const height = acceptanceHeight(some.verified.length)
  return acceptanceChart({ ...some, width: w, height, theme, emptyText: 'Nothing yet.' })
}

function rects(shapes: DisplayList, role: string): RectShape[] {
  return shapes.filter((shape): shape is RectShape => shape.kind === 'rect' && shape.role === role)
}

function texts(shapes: DisplayList, role: string): TextShape[] {
  return shapes.filter((shape): shape is TextShape => shape.kind === 'text' && shape.role === role)
}

describe('acceptance chart', () => {
  it('draws a bar per position, as long as the share of its drafts that were right', () => {
    fc.assert(
      fc.property(counts, width, (some, w) => {
        fc.pre(some.verified.some((trials) => trials > 0))
        const shapes = chart(some, w)
        const tracks = rects(shapes, 'track')
        expect(tracks).toHaveLength(some.verified.length)
        for (const [index, track] of tracks.entries()) {
          const trials = some.verified[index] ?? 0
          const accepted = some.accepted[index] ?? 0
          const share = rects(shapes, 'share').find(({ y }) => y === track.y)
          expect(share?.x ?? track.x).toBe(track.x)
          expect(share?.width ?? 0).toBeLessThanOrEqual(track.width)
          if (trials === 0 || accepted === 0) expect(share).toBeUndefined()
          else expect(Math.abs((share?.width ?? 0) - (track.width * accepted) / trials)).toBeLessThan(1.5)
        }
      }),
    )
  })

  it('keeps within its box, rows apart, and words clear of the bars', () => {
    fc.assert(
      fc.property(counts, width, (some, w) => {
        fc.pre(some.verified.some((trials) => trials > 0))
        const shapes = chart(some, w)
        const tracks = rects(shapes, 'track')
        const bottom = acceptanceHeight(some.verified.length)
        tracks.forEach((track, index) => {
          const next = tracks[index + 1]
          expect(track.y).toBeGreaterThanOrEqual(0)
          expect(track.y + track.height).toBeLessThan(next ? next.y : bottom)
        })
        const [first] = tracks
        const end = (first?.x ?? 0) + (first?.width ?? 0)
        // No glyph of the page's fonts is wider than 0.7 of its size at these characters.
        const room = (shape: TextShape): number => shape.text.length * shape.size * 0.7
        for (const share of texts(shapes, 'percent')) expect(share.x - end).toBeGreaterThanOrEqual(room(share) - 1)
        for (const trials of texts(shapes, 'trials')) expect(trials.x).toBe(w)
        for (const name of texts(shapes, 'position')) expect(name.x + name.text.length).toBeLessThan(first?.x ?? 0)
      }),
    )
  })

  it('tells shares and trials, and where nothing was tried', () => {
    const shapes = chart({ verified: [1200, 40, 0], accepted: [756, 1, 0] })
    expect(texts(shapes, 'position').map(({ text }) => text)).toEqual(['draft 1', 'draft 2', 'draft 3'])
    expect(texts(shapes, 'percent').map(({ text }) => text)).toEqual(['63 %', '3 %'])
    expect(texts(shapes, 'trials').map(({ text }) => text)).toEqual(['of 1,200', 'of 40', 'not tried'])
  })

  it.each([{ verified: [] }, { verified: [0, 0, 0] }])(
    'says in words that there is nothing to draw ($verified)',
    ({ verified }) => {
      const shapes = chart({ verified, accepted: verified })
      expect(shapes.map((shape) => shape.kind === 'text' && shape.text)).toEqual(['Nothing yet.'])
      expect(acceptanceSummary({ verified, accepted: verified }, 'Nothing yet.')).toBe('Nothing yet.')
    },
  )

  it('takes its colours from the theme, and is drawn as SVG the same every time', () => {
    const some = { verified: [10, 5], accepted: [6, 1] }
    for (const theme of [LIGHT_THEME, DARK_THEME]) {
      const shapes = chart(some, 300, theme)
      expect(rects(shapes, 'share').map(({ fill }) => fill)).toEqual([theme.accepted, theme.accepted])
      expect(rects(shapes, 'track').every(({ fill }) => fill === theme.free)).toBe(true)
      const write = () =>
        svgDocument(chart(some, 300, theme), { width: 300, height: 44, title: acceptanceSummary(some, '') })
      expect(write()).toBe(write())
      expect(write()).toContain('aria-label="Accepted by position: draft 1 60 % of 10, draft 2 20 % of 5."')
    }
  })
})

describe('a choice of drafts in words', () => {
  it('has a number and a reason of its own for each reason', () => {
    const reasons: DraftReason[] = ['best', 'hold', 'probe', 'catch-up', 'warm-up', 'off', 'fixed']
    for (const k of [0, 1, 3]) expect(new Set(reasons.map((reason) => choiceText({ k, reason }))).size).toBe(7)
    expect(choiceText({ k: 2, reason: 'best' })).toBe('2 drafts: most tokens per second by what was measured')
    expect(choiceText({ k: 1, reason: 'probe' })).toBe('1 draft: tried, to measure what they take')
    expect(choiceText({ k: 0, reason: 'off' })).toBe('no drafts: even if all were accepted they would lose here')
  })
})

describe('shares and counts in words', () => {
  it('are all or nothing only where that is so', () => {
    expect([0, 0.001, 0.004, 0.5, 0.996, 1].map(percentText)).toEqual([
      '0 %',
      '< 1 %',
      '< 1 %',
      '50 %',
      '99 %',
      '100 %',
    ])
  })

  it('take six characters at most up to a billion', () => {
    fc.assert(
      fc.property(fc.nat({ max: 999_900_000 }), (count) => {
        expect(trialsText(count).length).toBeLessThanOrEqual(6)
      }),
    )
    expect([7, 9999, 10_000, 999_949, 999_950, 12_345_678].map(trialsText)).toEqual([
      '7',
      '9,999',
      '10.0k',
      '999.9k',
      '1.0M',
      '12.3M',
    ])
  })
})
