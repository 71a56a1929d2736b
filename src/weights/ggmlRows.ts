/**
 * Rows of ggml's blocks of 32 inputs. A block is d (f16), m (f16) in the types _1, the fifth bits (u32) in the types q5, then the
 * codes: bytes, or 16 bytes whose low halves are the first 16 codes and whose high halves are the others. It must never know where
 * bytes come from. (Layouts: ggml-common.h and ggml-quants.c of https://github.com/ggml-org/ggml.)
 */

import { encodingBytes, formatOf, type GgmlType } from './encoding.ts'
import { emptyRows, isQuantised, type WeightRows } from './format.ts'

export type BlockType = Exclude<GgmlType, 'q4_k' | 'q5_k' | 'q6_k'>

const BLOCK = 32

/** @param bytes [rows][inputs / 32] blocks */
export function ggmlRows(type: BlockType, bytes: Uint8Array, rows: number, inputs: number): WeightRows {
  const encoding = { kind: 'ggml', type } as const
  const out = emptyRows(formatOf(encoding), inputs, rows)
  const size = encodingBytes(encoding, BLOCK)[0] as number
  copyScales(bytes, size, out)
  const blocks = rows * (inputs / BLOCK)
  const { codes } = out
  switch (type) {
    case 'q4_0':
    case 'q4_1':
      for (let b = 0, from = size - 16; b < blocks; b++, from += size) pairNibbles(bytes, from, 16, codes, 16 * b)
      break
    case 'q5_0':
    case 'q5_1':
      for (let b = 0, from = size - 20; b < blocks; b++, from += size) fiveBits(bytes, from, codes, BLOCK * b)
      break
    case 'q8_0':
      for (let b = 0, from = 2; b < blocks; b++, from += size) {
        for (let i = 0; i < BLOCK; i++) codes[BLOCK * b + i] = (bytes[from + i] as number) ^ 0x80
      }
  }
  return out
}

/** `half` bytes of two codes each, `half` codes apart: neighbours come into one byte. */
export function pairNibbles(bytes: Uint8Array, from: number, half: number, codes: Uint8Array, to: number): void {
  const high = to + half / 2
  for (let i = 0; i < half / 2; i++) {
    const a = bytes[from + 2 * i] as number
    const b = bytes[from + 2 * i + 1] as number
    codes[to + i] = (a & 15) | (b << 4)
    codes[high + i] = (a >> 4) | (b & 0xf0)
  }
}

/** Four bytes of fifth bits, then 16 of nibbles. */
function fiveBits(bytes: Uint8Array, from: number, codes: Uint8Array, to: number): void {
  const low = (bytes[from] as number) | ((bytes[from + 1] as number) << 8)
  const high = (bytes[from + 2] as number) | ((bytes[from + 3] as number) << 8)
  for (let i = 0; i < 16; i++) {
    const pair = bytes[from + 4 + i] as number
    codes[to + i] = (pair & 15) | (((low >> i) & 1) << 4)
    codes[to + 16 + i] = (pair >> 4) | (((high >> i) & 1) << 4)
  }
}

/** The halves at the beginning of each block: s, and m if the format has it. */
function copyScales(bytes: Uint8Array, size: number, { format, inputs, count, scales }: WeightRows): void {
  const halves = isQuantised(format) && format.scales.kind === 'half' ? 1 : 2
  const target = new Uint8Array(scales.buffer)
  const groups = inputs / BLOCK
  const stride = scales.byteLength / Math.max(count, 1)
  let from = 0
  for (let row = 0; row < count; row++) {
    for (let group = 0; group < groups; group++, from += size) {
      const to = row * stride + 2 * halves * group
      for (let i = 0; i < 2 * halves; i++) target[to + i] = bytes[from + i] as number
    }
  }
}
