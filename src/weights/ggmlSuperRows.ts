/**
 * Rows of ggml's blocks of 256 inputs (the types _K), whose groups have 6- or 8-bit scales below the f16 scales of the block. It must
 * never know where bytes come from. (Layouts: ggml-common.h and ggml-quants.c of https://github.com/ggml-org/ggml.)
 */

import { encodingBytes, formatOf, type GgmlType } from './encoding.ts'
import { emptyRows, SUPER_GROUP, type WeightRows } from './format.ts'
import { pairNibbles } from './ggmlRows.ts'

export type SuperBlockType = Extract<GgmlType, 'q4_k' | 'q5_k' | 'q6_k'>

/** Bytes of the scales of 256 inputs in the engine. */
const SCALES = 20

export function isSuperBlock(type: GgmlType): type is SuperBlockType {
  return type.endsWith('_k')
}

/** @param bytes [rows][inputs / 256] blocks */
export function ggmlSuperRows(type: SuperBlockType, bytes: Uint8Array, rows: number, inputs: number): WeightRows {
  const encoding = { kind: 'ggml', type } as const
  const out = emptyRows(formatOf(encoding), inputs, rows)
  const scales = new Uint8Array(out.scales.buffer)
  const size = encodingBytes(encoding, SUPER_GROUP)[0] as number
  const blocks = rows * (inputs / SUPER_GROUP)
  const decode = DECODERS[type]
  for (let b = 0; b < blocks; b++) decode(bytes, b * size, out.codes, scales, b)
  return out
}

/** Decodes the block at `from` into the places of block `b`. */
type BlockDecoder = (bytes: Uint8Array, from: number, codes: Uint8Array, scales: Uint8Array, b: number) => void

const DECODERS: Readonly<Record<SuperBlockType, BlockDecoder>> = {
  /** d, dmin, 12 bytes of scales, 128 of nibbles: each 32 hold two groups, one in the low halves and one in the high halves */
  q4_k(bytes, from, codes, scales, b) {
    unpackScales(bytes, from, scales, b * SCALES)
    for (let pair = 0; pair < 4; pair++) pairNibbles(bytes, from + 16 + 32 * pair, 32, codes, b * 128 + 32 * pair)
  },

  /** the same with 32 bytes of fifth bits before the nibbles: bit g is group g's */
  q5_k(bytes, from, codes, scales, b) {
    unpackScales(bytes, from, scales, b * SCALES)
    for (let pair = 0; pair < 4; pair++) {
      const to = b * SUPER_GROUP + 64 * pair
      const nibbles = from + 48 + 32 * pair
      for (let i = 0; i < 32; i++) {
        const two = bytes[nibbles + i] as number
        const fifths = (bytes[from + 16 + i] as number) >> (2 * pair)
        codes[to + i] = (two & 15) | ((fifths & 1) << 4)
        codes[to + 32 + i] = (two >> 4) | ((fifths & 2) << 3)
      }
    }
  },

  /**
   * For each half of 128 inputs, four runs of 32: runs 0 and 1 in the low halves of 64 bytes, 2 and 3 in the high halves; two more bits
   * of each run in 32 bytes. Then 16 scales and d.
   */
  q6_k(bytes, from, codes, scales, b) {
    for (let half = 0; half < 2; half++) {
      const low = from + 64 * half
      const high = from + 128 + 32 * half
      const to = b * SUPER_GROUP + 128 * half
      for (let i = 0; i < 32; i++) {
        const first = bytes[low + i] as number
        const second = bytes[low + 32 + i] as number
        const bits = bytes[high + i] as number
        codes[to + i] = (first & 15) | ((bits & 3) << 4)
        codes[to + 32 + i] = (second & 15) | ((bits & 12) << 2)
        codes[to + 64 + i] = (first >> 4) | (bits & 48)
        codes[to + 96 + i] = (second >> 4) | ((bits & 192) >> 2)
      }
    }
    const to = b * SCALES
    scales[to] = bytes[from + 208] as number
    scales[to + 1] = bytes[from + 209] as number
    for (let group = 0; group < 16; group++) scales[to + 4 + group] = bytes[from + 192 + group] as number
  },
}

/** d, dmin and eight pairs of 6-bit integers in 12 bytes; the upper two bits of the last four pairs are above the first four. */
function unpackScales(bytes: Uint8Array, from: number, scales: Uint8Array, to: number): void {
  for (let i = 0; i < 4; i++) scales[to + i] = bytes[from + i] as number
  for (let group = 0; group < 4; group++) {
    const sc = bytes[from + 4 + group] as number
    const mn = bytes[from + 8 + group] as number
    const both = bytes[from + 12 + group] as number
    const at = to + 4 + 2 * group
    scales[at] = sc & 63
    scales[at + 1] = mn & 63
    scales[at + 8] = (both & 15) | ((sc >> 6) << 4)
    scales[at + 9] = (both >> 4) | ((mn >> 6) << 4)
  }
}
