/**
 * A matrix that GPTQ quantised to 4 bits: [inputs / 8][outputs] words of codes, so a word is the engine's, and words are transposed.
 * It must never know where bytes come from. (Layout: qlinear modules of https://github.com/AutoGPTQ/AutoGPTQ.)
 */

import { type Encoding, formatOf } from './encoding.ts'
import { emptyRows, type WeightRows } from './format.ts'
import { alignedWords } from './words.ts'
import { zeroPointScales } from './zeroPoint.ts'

export type GptqEncoding = Extract<Encoding, { kind: 'gptq' }>

/** Columns whose words share a line of a processor's cache. */
const TILE = 16

/** @param data qweight [inputs / 8][rows] u32, qzeros [inputs / group][rows / 8] u32, scales [inputs / group][rows] f16 */
export function gptqRows(
  encoding: GptqEncoding,
  data: readonly Uint8Array[],
  rows: number,
  inputs: number,
): WeightRows {
  const [qweight, qzeros, scales] = data as [Uint8Array, Uint8Array, Uint8Array]
  const out = emptyRows(formatOf(encoding), inputs, rows)
  const from = alignedWords(qweight)
  const to = new Uint32Array(out.codes.buffer)
  const words = inputs / 8
  for (let tile = 0; tile < rows; tile += TILE) {
    const end = Math.min(tile + TILE, rows)
    for (let word = 0; word < words; word++) {
      for (let row = tile; row < end; row++) to[row * words + word] = from[word * rows + row] as number
    }
  }
  zeroPointScales({ qzeros, scales, shifts: SHIFTS, added: encoding.zeros === 'less one' ? 1 : 0 }, out)
  return out
}

/** Output 8c + i is nibble i of word c of the zero points. */
const SHIFTS = [0, 4, 8, 12, 16, 20, 24, 28]
