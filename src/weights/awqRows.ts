/**
 * A matrix that AWQ quantised to 4 bits (its layout "gemm"): words hold eight outputs of one input, in an order of their own. It must
 * never know where bytes come from. (Layout: awq/modules/linear/gemm.py of https://github.com/casper-hansen/AutoAWQ.)
 */

import { type Encoding, formatOf } from './encoding.ts'
import { emptyRows, type WeightRows } from './format.ts'
import { alignedWords } from './words.ts'
import { zeroPointScales } from './zeroPoint.ts'

export type AwqEncoding = Extract<Encoding, { kind: 'awq' }>

/** Of output 8c + i in word c. The nibbles, from the low one up, are outputs 0, 2, 4, 6, 1, 3, 5, 7. */
const SHIFTS = [0, 16, 4, 20, 8, 24, 12, 28]

/** @param data qweight [inputs][rows / 8] u32, qzeros [inputs / group][rows / 8] u32, scales [inputs / group][rows] f16 */
export function awqRows(encoding: AwqEncoding, data: readonly Uint8Array[], rows: number, inputs: number): WeightRows {
  const [qweight, qzeros, scales] = data as [Uint8Array, Uint8Array, Uint8Array]
  const out = emptyRows(formatOf(encoding), inputs, rows)
  transposeNibbles(alignedWords(qweight), new Uint32Array(out.codes.buffer), rows / 8, inputs)
  zeroPointScales({ qzeros, scales, shifts: SHIFTS, added: 0 }, out)
  return out
}

/**
 * Eight words of eight outputs at a time become eight words of eight inputs.
 * @param from [inputs][columns]
 * @param to [8 * columns][inputs / 8]
 */
function transposeNibbles(from: Uint32Array, to: Uint32Array, columns: number, inputs: number): void {
  const words = inputs / 8
  const square = new Int32Array(8)
  for (let column = 0; column < columns; column++) {
    for (let word = 0; word < words; word++) {
      for (let k = 0; k < 8; k++) square[k] = from[(8 * word + k) * columns + column] as number
      exchange(square, 1, 0x0f0f0f0f)
      exchange(square, 2, 0x00ff00ff)
      exchange(square, 4, 0x0000ffff)
      for (let i = 0; i < 8; i++) to[(8 * column + i) * words + word] = square[(SHIFTS[i] as number) / 4] as number
    }
  }
}

/** A step of the transposition of 8 × 8 nibbles: the upper ones of word k against the lower ones (`mask`) of word k + distance. */
function exchange(square: Int32Array, distance: number, mask: number): void {
  const shift = 4 * distance
  for (let k = 0; k < 8; k++) {
    if ((k & distance) !== 0) continue
    const a = square[k] as number
    const b = square[k + distance] as number
    const changes = ((a >>> shift) ^ b) & mask
    square[k] = a ^ (changes << shift)
    square[k + distance] = b ^ changes
  }
}
