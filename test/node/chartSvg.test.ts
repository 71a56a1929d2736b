import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { DisplayList } from '../../src/chart/displayList.ts'
import { stepChart } from '../../src/chart/stepChart.ts'
import { escapeXml, svgDocument } from '../../src/chart/svg.ts'
import { LIGHT_THEME } from '../../src/chart/theme.ts'
import { stepRecords } from '../helpers/stepRecords.ts'

/** The elements of an XML text, checked while read: tags nest, attributes are quoted, no stray markup. */
function readXml(xml: string): { name: string; attributes: Map<string, string>; text: string }[] {
  const elements: { name: string; attributes: Map<string, string>; text: string }[] = []
  const open: typeof elements = []
  const token = /<(\/?)([a-z]+)((?: [a-zA-Z][\w-]*="[^"<]*")*)(\/?)>|([^<]+)/gy
  let at = 0
  while (at < xml.length) {
    token.lastIndex = at
    const match = token.exec(xml)
    if (!match) throw new Error(`not well-formed at ${at}: ${xml.slice(at, at + 60)}`)
    at = token.lastIndex
    const [, close, name = '', attributeText = '', selfClosing, text] = match
    if (text !== undefined) {
      expect(text).toMatch(/^(?:[^&]|&(?:amp|lt|gt|quot|#39);)*$/u)
      const parent = open.at(-1)
      if (parent) parent.text += text
      else expect(text.trim()).toBe('')
    } else if (close) {
      expect(open.pop()?.name).toBe(name)
    } else {
      const attributes = new Map(
        [...attributeText.matchAll(/([a-zA-Z][\w-]*)="([^"]*)"/g)].map(([, key = '', value = '']) => [key, value]),
      )
      const element = { name, attributes, text: '' }
      elements.push(element)
      if (!selfClosing) open.push(element)
    }
  }
  expect(open).toEqual([])
  return elements
}

const anyText = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.constantFrom('<b a="1">&amp;</b>', "]]>'", '\u0000'),
)

const shapes: fc.Arbitrary<DisplayList> = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant('rect' as const),
      role: anyText,
      x: fc.double({ noNaN: true, min: -1e4, max: 1e4 }),
      y: fc.constant(0),
      width: fc.constant(1 / 3),
      height: fc.constant(1e-9),
      fill: anyText,
    }),
    fc.record({
      kind: fc.constant('text' as const),
      role: fc.constant('label'),
      x: fc.constant(1),
      y: fc.constant(2),
      text: anyText,
      fill: fc.constant('#000'),
      size: fc.constant(11),
      anchor: fc.constantFrom('start' as const, 'middle' as const, 'end' as const),
      bold: fc.boolean(),
    }),
    fc.constant({ kind: 'line' as const, role: 'grid', x1: 0, y1: 1, x2: 2, y2: 3, stroke: 'red', width: 1 }),
  ),
)

describe('SVG writer', () => {
  it('writes well-formed XML whatever the texts, one element per shape', () => {
    fc.assert(
      fc.property(shapes, anyText, (list, title) => {
        const elements = readXml(svgDocument(list, { width: 100, height: 50, title }))
        expect(elements[0]?.name).toBe('svg')
        expect(elements.slice(2).map((element) => element.name)).toEqual(list.map((shape) => shape.kind))
      }),
    )
  })

  it('writes numbers without exponents, never NaN', () => {
    fc.assert(
      fc.property(shapes, (list) => {
        for (const element of readXml(svgDocument(list, { width: 100, height: 50, title: '' })).slice(2)) {
          for (const key of ['x', 'y', 'width', 'height', 'x1', 'font-size']) {
            const value = element.attributes.get(key)
            if (value !== undefined) expect(value).toMatch(/^-?\d+(\.\d{1,3})?$/)
          }
        }
      }),
    )
  })

  it('writes a chart to the same characters every time', () => {
    fc.assert(
      fc.property(stepRecords(256, 60), (records) => {
        const write = () => {
          const input = { records: structuredClone(records), limit: 256, width: 560, height: 240, theme: LIGHT_THEME }
          return svgDocument(stepChart({ ...input, title: 'a & b', legend: true }).shapes, { ...input, title: 'a & b' })
        }
        expect(write()).toBe(write())
        expect(readXml(write()).filter((element) => element.attributes.get('class') === 'legend')).toHaveLength(4)
      }),
      { numRuns: 20 },
    )
  })

  it('escapes what would be markup and replaces what XML cannot hold', () => {
    expect(escapeXml(`<a href="x">'&'</a>`)).toBe('&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;')
    expect(escapeXml('a\u0000b\ud800c\u{1F30A}')).toBe('a\uFFFDb\uFFFDc\u{1F30A}')
  })
})
