/** Writes a display list as an SVG document, deterministically. It must never know what the shapes mean. */

import { type DisplayList, FONT_FAMILY, type Shape } from './displayList.ts'

export interface SvgOptions {
  readonly width: number
  readonly height: number
  /** the text alternative */
  readonly title: string
}

export function svgDocument(shapes: DisplayList, options: SvgOptions): string {
  const { width, height } = options
  const name = escapeXml(options.title)
  const open = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"`
  const head = `${open} role="img" aria-label="${name}" font-family="${escapeXml(FONT_FAMILY)}">`
  return `${head}\n<title>${name}</title>\n${shapes.map(element).join('\n')}\n</svg>\n`
}

function element(shape: Shape): string {
  const role = escapeXml(shape.role)
  switch (shape.kind) {
    case 'rect': {
      const place = `x="${number(shape.x)}" y="${number(shape.y)}"`
      const size = `width="${number(shape.width)}" height="${number(shape.height)}"`
      const radius = shape.radius ? ` rx="${number(shape.radius)}"` : ''
      return `<rect class="${role}" ${place} ${size}${radius} fill="${escapeXml(shape.fill)}"/>`
    }
    case 'line': {
      const from = `x1="${number(shape.x1)}" y1="${number(shape.y1)}"`
      const to = `x2="${number(shape.x2)}" y2="${number(shape.y2)}"`
      return `<line class="${role}" ${from} ${to} stroke="${escapeXml(shape.stroke)}" stroke-width="${number(shape.width)}"/>`
    }
    case 'text': {
      const place = `x="${number(shape.x)}" y="${number(shape.y)}" font-size="${number(shape.size)}"`
      const style = `text-anchor="${shape.anchor}"${shape.bold ? ' font-weight="600"' : ''} fill="${escapeXml(shape.fill)}"`
      return `<text class="${role}" ${place} ${style}>${escapeXml(shape.text)}</text>`
    }
  }
}

/** Rounded to a thousandth of a pixel, which is finer than any screen. */
function number(value: number): string {
  return String(Number(value.toFixed(3)))
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** Escapes text for an element or an attribute. Characters that XML 1.0 forbids (controls, lone surrogates) become U+FFFD. */
export function escapeXml(text: string): string {
  return text.replace(/[&<>"']|[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/gu, (character) => {
    return ENTITIES[character] ?? '\uFFFD'
  })
}
