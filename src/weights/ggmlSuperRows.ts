/**
 * Rows of ggml's blocks of 256 inputs (the types _K), whose groups have 6- or 8-bit scales below the f16 scales of the block. It must
 * never know where bytes come from. (Layouts: ggml-common.h and ggml-quants.c of https://github.com/ggml-org/ggml.)
 */

import { encodingBytes, formatOf, type GgmlType } from './encoding.ts'
import { emptyRows, SUPER_GROUP, type WeightRows } from './format.ts'
import { LOW, pairNibbles } from './ggmlRows.ts'
import { alignedHalves, wordAt } from './words.ts'

export type SuperBlockType = Extract<GgmlType, 'q4_k' | 'q5_k' | 'q6_k'>

/** Words of the scales of 256 inputs in the engine. */
const SCALES = 5

export function isSuperBlock(type: GgmlType): type is SuperBlockType {
  return type.endsWith('_k')
}

/** @param bytes [rows][inputs / 256] blocks */
export function ggmlSuperRows(type: SuperBlockType, bytes: Uint8Array, rows: number, inputs: number): WeightRows {
  const encoding = { kind: 'ggml', type } as const
  const out = emptyRows(formatOf(encoding), inputs, rows)
  const halves = alignedHalves(bytes)
  const codes = new Uint32Array(out.codes.buffer)
  const size = (encodingBytes(encoding, SUPER_GROUP)[0] as number) / 2
  const blocks = rows * (inputs / SUPER_GROUP)
  const decode = DECODERS[type]
  for (let b = 0; b < blocks; b++) decode(halves, b * size, codes, out.scales, b)
  return out
}

/** Decodes the block at `from` into the places of block `b`. */
type BlockDecoder = (halves: Uint16Array, from: number, codes: Uint32Array, scales: Uint32Array, b: number) => void

/** Offsets in the comments are in bytes. */
const DECODERS: Readonly<Record<SuperBlockType, BlockDecoder>> = {
  /** d 0, dmin 2, scales 4, nibbles 16: each 32 bytes hold two groups, one in the low halves and one in the high halves */
  q4_k(halves, from, codes, scales, b) {
    unpackScales(halves, from, scales, b * SCALES)
    for (let pair = 0; pair < 4; pair++) pairNibbles(halves, from + 8 + 16 * pair, 4, codes, b * 32 + 8 * pair)
  },

  /** the same with fifth bits at 16, before the nibbles: bit g of byte i is that of input i of group g */
  q5_k(halves, from, codes, scales, b) {
    unpackScales(halves, from, scales, b * SCALES)
    for (let pair = 0; pair < 4; pair++) {
      const to = b * 64 + 16 * pair
      for (let i = 0; i < 8; i++) {
        const fifths = wordAt(halves, from + 8 + 2 * i) >>> (2 * pair)
        const two = wordAt(halves, from + 24 + 16 * pair + 2 * i)
        codes[to + i] = (two & LOW) | ((fifths & 0x01010101) << 4)
        codes[to + 8 + i] = ((two >>> 4) & LOW) | ((fifths & 0x02020202) << 3)
      }
    }
  },

  /**
   * low four bits 0, high two bits 128, scales 192, d 208. For each half of 128 inputs, four runs of 32: runs 0 and 1 are the low halves
   * of 64 bytes, 2 and 3 the high halves; two more bits of each run are in one byte.
   */
  q6_k(halves, from, codes, scales, b) {
    for (let half = 0; half < 2; half++) {
      const to = b * 64 + 32 * half
      for (let i = 0; i < 8; i++) {
        const first = wordAt(halves, from + 32 * half + 2 * i)
        const second = wordAt(halves, from + 32 * half + 16 + 2 * i)
        const bits = wordAt(halves, from + 64 + 16 * half + 2 * i)
        codes[to + i] = (first & LOW) | ((bits & 0x03030303) << 4)
        codes[to + 8 + i] = (second & LOW) | ((bits & 0x0c0c0c0c) << 2)
        codes[to + 16 + i] = ((first >>> 4) & LOW) | (bits & 0x30303030)
        codes[to + 24 + i] = ((second >>> 4) & LOW) | ((bits >>> 2) & 0x30303030)
      }
    }
    scales[b * SCALES] = halves[from + 104] as number
    for (let i = 0; i < 4; i++) scales[b * SCALES + 1 + i] = wordAt(halves, from + 96 + 2 * i)
  },
}

/**
 * d and dmin, then eight pairs sc, mn of 6-bit integers in 12 bytes: four times sc and four times mn, whose upper two bits belong to
 * the last four pairs; then the low four bits of those, sc below mn.
 */
function unpackScales(halves: Uint16Array, from: number, scales: Uint32Array, to: number): void {
  scales[to] = wordAt(halves, from)
  for (let i = 0; i < 2; i++) {
    const sc = halves[from + 2 + i] as number
    const mn = halves[from + 4 + i] as number
    const both = halves[from + 6 + i] as number
    scales[to + 1 + i] = interleave(sc & 0x3f3f, mn & 0x3f3f)
    scales[to + 3 + i] = interleave(
      (both & 0x0f0f) | ((sc & 0xc0c0) >>> 2),
      ((both >>> 4) & 0x0f0f) | ((mn & 0xc0c0) >>> 2),
    )
  }
}

/** Bytes a0, a1 and b0, b1 as a0, b0, a1, b1. */
function interleave(a: number, b: number): number {
  return (a & 0xff) | ((b & 0xff) << 8) | ((a & 0xff00) << 8) | ((b & 0xff00) << 16)
}
