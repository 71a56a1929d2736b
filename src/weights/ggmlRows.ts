/**
 * Rows of ggml's blocks of 32 inputs. A block is d (f16), m (f16) in the types _1, the fifth bits (u32) in the types q5, then the
 * codes: bytes, or 16 bytes whose low halves are the first 16 codes and whose high halves are the others. It must never know where
 * bytes come from. Works on four codes at a time. (Layouts: ggml-common.h and ggml-quants.c of https://github.com/ggml-org/ggml.)
 */

import { encodingBytes, formatOf, type GgmlType } from './encoding.ts'
import { emptyRows, isQuantised, scaleWords, type WeightRows } from './format.ts'
import { alignedHalves, wordAt } from './words.ts'

export type BlockType = Exclude<GgmlType, 'q4_k' | 'q5_k' | 'q6_k'>

const BLOCK = 32

/** @param bytes [rows][inputs / 32] blocks */
export function ggmlRows(type: BlockType, bytes: Uint8Array, rows: number, inputs: number): WeightRows {
  const encoding = { kind: 'ggml', type } as const
  const out = emptyRows(formatOf(encoding), inputs, rows)
  const halves = alignedHalves(bytes)
  const size = (encodingBytes(encoding, BLOCK)[0] as number) / 2
  copyScales(halves, size, out)
  const blocks = rows * (inputs / BLOCK)
  const codes = new Uint32Array(out.codes.buffer)
  switch (type) {
    case 'q4_0':
    case 'q4_1':
      for (let b = 0, from = size - 8; b < blocks; b++, from += size) pairNibbles(halves, from, 2, codes, 4 * b)
      break
    case 'q5_0':
    case 'q5_1':
      for (let b = 0, from = size - 10; b < blocks; b++, from += size) fiveBits(halves, from, codes, 8 * b)
      break
    case 'q8_0':
      for (let b = 0, from = 1; b < blocks; b++, from += size) {
        for (let i = 0; i < 8; i++) codes[8 * b + i] = wordAt(halves, from + 2 * i) ^ 0x80808080
      }
  }
  return out
}

/**
 * A run of bytes whose low halves are codes and whose high halves are the codes after those: neighbours come into one byte.
 * @param words 32-bit words that the low halves fill, and the high halves again; so the run has 8 · words bytes
 */
export function pairNibbles(halves: Uint16Array, from: number, words: number, codes: Uint32Array, to: number): void {
  for (let i = 0; i < words; i++) {
    const a = wordAt(halves, from + 4 * i)
    const b = wordAt(halves, from + 4 * i + 2)
    codes[to + i] = packNibbles(a & LOW) | (packNibbles(b & LOW) << 16)
    codes[to + words + i] = packNibbles((a >>> 4) & LOW) | (packNibbles((b >>> 4) & LOW) << 16)
  }
}

/** The low half of each byte. */
export const LOW = 0x0f0f0f0f

/** Four bytes below 16 as 16 bits. */
function packNibbles(bytes: number): number {
  const pairs = (bytes | (bytes >>> 4)) & 0x00ff00ff
  return (pairs | (pairs >>> 8)) & 0xffff
}

/** Four bytes of fifth bits, then 16 of nibbles. */
function fiveBits(halves: Uint16Array, from: number, codes: Uint32Array, to: number): void {
  const low = halves[from] as number
  const high = halves[from + 1] as number
  for (let i = 0; i < 4; i++) {
    const pairs = wordAt(halves, from + 2 + 2 * i)
    codes[to + i] = (pairs & LOW) | (spread(low >>> (4 * i)) << 4)
    codes[to + 4 + i] = ((pairs >>> 4) & LOW) | (spread(high >>> (4 * i)) << 4)
  }
}

/** The lowest four bits, each the lowest of a byte. */
function spread(bits: number): number {
  return Math.imul(bits & 15, 1 | (1 << 7) | (1 << 14) | (1 << 21)) & 0x01010101
}

/** The first of each block: s, and m if the format has it. */
function copyScales(halves: Uint16Array, size: number, { format, inputs, count, scales }: WeightRows): void {
  const each = isQuantised(format) && format.scales.kind === 'half' ? 1 : 2
  const target = new Uint16Array(scales.buffer)
  const groups = inputs / BLOCK
  const stride = 2 * scaleWords(format, inputs)
  let from = 0
  for (let row = 0; row < count; row++) {
    for (let group = 0; group < groups; group++, from += size) {
      const to = row * stride + each * group
      target[to] = halves[from] as number
      if (each === 2) target[to + 1] = halves[from + 1] as number
    }
  }
}
