/**
 * The weights of rows as f32, each rounded once, as `WeightRows` defines them. It must never know where rows come from or go.
 */

import { assert } from '../util/math.ts'
import { decodeBf16, decodeF16, decodeWeights } from './decode.ts'
import { isQuantised, type QuantisedFormat, SUPER_GROUP, scaleWords, type WeightRows } from './format.ts'

/** w = fma(code, s, m); both are f32 numbers. */
export interface GroupScales {
  readonly s: number
  readonly m: number
}

/**
 * Writes every weight of `rows`, [count][inputs], to `out[first…]`. Scales that are not finite give weights that are not.
 * @throws RangeError if they do not fit
 */
export function dequantiseRows(rows: WeightRows, out: Float32Array, first = 0): void {
  const { format, inputs, count } = rows
  if (first + count * inputs > out.length) {
    throw new RangeError(`${count * inputs} weights do not fit at ${first} of ${out.length}`)
  }
  if (!isQuantised(format)) {
    decodeWeights(rows.codes, format.codes, out, first)
    return
  }
  const groups = inputs / format.group
  const write = format.codes === 'u4' ? writeNibbles : writeBytes
  let at = 0
  for (let row = 0; row < count; row++) {
    for (let group = 0; group < groups; group++, at += format.group) {
      const { s, m } = scalesOf(rows, row, group)
      write(rows.codes, at, format.group, s, m, out, first + at)
    }
  }
}

/** s and m of group `group` of row `row` of quantised rows. */
export function scalesOf(rows: WeightRows, row: number, group: number): GroupScales {
  const { format, inputs, scales } = rows
  assert(isQuantised(format), 'plain rows have no scales')
  const from = row * scaleWords(format, inputs)
  const layout = format.scales
  switch (layout.kind) {
    case 'half': {
      const pair = scales[from + (group >>> 1)] as number
      const s = decodeF16(group % 2 === 0 ? pair & 0xffff : pair >>> 16)
      return { s, m: -layout.zero * s }
    }
    case 'offset': {
      const pair = scales[from + group] as number
      const decode = layout.halves === 'f16' ? decodeF16 : decodeBf16
      return { s: decode(pair & 0xffff), m: decode(pair >>> 16) }
    }
    case 'zeroPoint': {
      const pair = scales[from + group] as number
      const s = decodeF16(pair & 0xffff)
      return { s, m: -decodeF16(pair >>> 16) * s }
    }
    case 'super':
      return superScales(scales, from, format, group)
  }
}

/** @param from where the words of the row begin */
function superScales(scales: Uint32Array, from: number, format: QuantisedFormat, group: number): GroupScales {
  const groups = SUPER_GROUP / format.group
  const block = from + Math.floor(group / groups) * 5
  const halves = scales[block] as number
  const d = decodeF16(halves & 0xffff)
  const index = group % groups
  if (format.group === 16) {
    const bytes = scales[block + 1 + (index >>> 2)] as number
    const sc = (bytes << (24 - 8 * (index & 3))) >> 24
    const s = d * sc
    return { s, m: -32 * s }
  }
  const bytes = (scales[block + 1 + (index >>> 1)] as number) >>> (16 * (index & 1))
  return { s: d * (bytes & 0xff), m: -decodeF16(halves >>> 16) * ((bytes >>> 8) & 0xff) }
}

/** Writes the weights of `group` codes, of which the first is code `at`, to `out[to…]`. */
type Write = (codes: Uint8Array, at: number, group: number, s: number, m: number, out: Float32Array, to: number) => void

// The product is exact in f64, and the sum too, or else too far from a tie of f32 to matter: the store rounds once.

const writeBytes: Write = (codes, at, group, s, m, out, to) => {
  for (let i = 0; i < group; i++) out[to + i] = (codes[at + i] as number) * s + m
}

const writeNibbles: Write = (codes, at, group, s, m, out, to) => {
  const from = at / 2
  for (let i = 0; i < group / 2; i++) {
    const pair = codes[from + i] as number
    out[to + 2 * i] = (pair & 15) * s + m
    out[to + 2 * i + 1] = (pair >> 4) * s + m
  }
}
