/**
 * Rows as integers: of 8 bits with one f32 scale for a row (`quantiseRow`, for w8a8), and of 8 or 4 bits with an f16 scale for 32 inputs
 * (`quantiseRows`, the engine's formats). Both are symmetric: w ≈ scale · q. It must never know where a row comes from or goes.
 */

import { assert } from '../util/math.ts'
import { decodeF16, decodeF32, decodeWeights } from './decode.ts'
import { encodeF16 } from './encodeF16.ts'
import { codeBytes, emptyRows, isQuantised, type QuantisedFormat, scaleWords, type WeightRows } from './format.ts'

const LARGEST = 127

/**
 * Writes round(w / scale), where scale is the largest magnitude of the row by 127, rounded to f32. A row of zeros has scale 0; the
 * scale of a row with a value that is not finite is not finite either.
 * @param row [K]
 * @param out [K]
 * @returns the scale
 */
export function quantiseRow(row: Float32Array, out: Int8Array): number {
  let largest = 0
  for (let i = 0; i < row.length; i++) {
    const magnitude = Math.abs(row[i] as number)
    if (!(magnitude <= largest)) largest = magnitude // a NaN too, and nothing is above it
    if (Number.isNaN(largest)) break
  }
  const scale = Math.fround(largest / LARGEST)
  if (scale === 0 || !Number.isFinite(scale)) {
    out.fill(0)
    return scale
  }
  for (let i = 0; i < row.length; i++) {
    // Beyond the range only where the scale is subnormal, and so rounded coarsely.
    out[i] = Math.max(-LARGEST, Math.min(LARGEST, Math.round((row[i] as number) / scale)))
  }
  return scale
}

export type QuantisedTo = 'int8' | 'int4'

const GROUP = 32
const NOT_A_NUMBER = encodeF16(Number.NaN)

interface Symmetric {
  readonly format: QuantisedFormat
  /** the largest magnitude of q; its code is q + zero */
  readonly largest: number
  readonly zero: number
}

const SYMMETRIC: Readonly<Record<QuantisedTo, Symmetric>> = {
  int8: symmetric('u8', 127, 128),
  int4: symmetric('u4', 7, 8),
}

function symmetric(codes: QuantisedFormat['codes'], largest: number, zero: number): Symmetric {
  return { format: { codes, group: GROUP, scales: { kind: 'half', zero } }, largest, zero }
}

/** The format of rows so quantised; undefined where groups do not divide the inputs, and the matrix has to stay as it is. */
export function quantisedFormat(to: QuantisedTo, inputs: number): QuantisedFormat | undefined {
  return inputs % GROUP === 0 ? SYMMETRIC[to].format : undefined
}

/**
 * Quantises each group of 32 inputs: the scale is the largest magnitude by 127 or 7, rounded to f16; q is w / scale, rounded and clamped
 * to -127…127 or -7…7. Where the scale rounds to 0 so do the weights. A group with a value that is not finite, or too large for a scale
 * in f16, has the scale NaN, so that the output of its row is not finite.
 * @param rows plain ones, of inputs that `quantisedFormat` has a format for
 */
export function quantiseRows(rows: WeightRows, to: QuantisedTo): WeightRows {
  const { format, inputs, count } = rows
  assert(!isQuantised(format) && inputs % GROUP === 0, `rows are plain, of whole groups: ${inputs} inputs`)
  const target = SYMMETRIC[to]
  const out = emptyRows(target.format, inputs, count)
  out.codes.fill(to === 'int8' ? target.zero : target.zero * 17) // q = 0
  const halves = new Uint16Array(out.scales.buffer)
  const stride = 2 * scaleWords(target.format, inputs)
  const bytes = codeBytes(format, inputs)
  const values = new Float32Array(inputs)
  const words = new Uint32Array(values.buffer)
  const write = to === 'int8' ? writeBytes : writeNibbles
  for (let row = 0; row < count; row++) {
    decodeWeights(rows.codes.subarray(row * bytes, (row + 1) * bytes), format.codes, values)
    for (let from = 0; from < inputs; from += GROUP) {
      const half = encodeF16(largestMagnitude(words, from) / target.largest)
      const scale = decodeF16(half)
      halves[row * stride + from / GROUP] = Number.isFinite(scale) ? half : NOT_A_NUMBER
      if (scale > 0 && Number.isFinite(scale)) write(values, from, scale, target, out.codes, row * inputs + from)
    }
  }
  return out
}

/** NaN if one of the group is: by its bits a NaN is above infinity. */
function largestMagnitude(words: Uint32Array, from: number): number {
  let largest = 0
  for (let i = from; i < from + GROUP; i++) {
    const magnitude = (words[i] as number) & 0x7fffffff
    if (magnitude > largest) largest = magnitude
  }
  return decodeF32(largest)
}

type Write = (
  values: Float32Array,
  from: number,
  scale: number,
  target: Symmetric,
  codes: Uint8Array,
  at: number,
) => void

/** @param at index of the first code */
const writeBytes: Write = (values, from, scale, target, codes, at) => {
  for (let i = 0; i < GROUP; i++) codes[at + i] = codeOf(values[from + i] as number, scale, target)
}

/** @param at index of the first code */
const writeNibbles: Write = (values, from, scale, target, codes, at) => {
  for (let i = 0; i < GROUP; i += 2) {
    const first = codeOf(values[from + i] as number, scale, target)
    const second = codeOf(values[from + i + 1] as number, scale, target)
    codes[(at + i) / 2] = first | (second << 4)
  }
}

/** Beyond the range only where the scale was rounded down, coarsely if it is subnormal. */
function codeOf(value: number, scale: number, { largest, zero }: Symmetric): number {
  const code = (value / scale + zero + 0.5) | 0
  if (code < zero - largest) return zero - largest
  return code > zero + largest ? zero + largest : code
}
