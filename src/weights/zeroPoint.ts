/** What GPTQ and AWQ have in common: scales and packed integer zero points, outputs side by side. */

import { encodeF16 } from './encodeF16.ts'
import type { WeightRows } from './format.ts'
import { alignedHalves, alignedWords } from './words.ts'

/** 0 to 16 as f16. */
const INTEGERS = Uint16Array.from({ length: 17 }, (_, z) => encodeF16(z))

export interface ZeroPoints {
  /** [groups][outputs / 8] u32 */
  readonly qzeros: Uint8Array
  /** [groups][outputs] f16 */
  readonly scales: Uint8Array
  /** where output 8c + i lies in word c */
  readonly shifts: readonly number[]
  /** what is added to a zero point of the file: 0 or 1 */
  readonly added: 0 | 1
}

/** Writes the scales of `out`, [outputs][groups], each with its zero point in the high half. */
export function zeroPointScales({ qzeros, scales, shifts, added }: ZeroPoints, out: WeightRows): void {
  const zeros = alignedWords(qzeros)
  const halves = alignedHalves(scales)
  const rows = out.count
  const groups = out.scales.length / Math.max(rows, 1)
  for (let group = 0; group < groups; group++) {
    for (let row = 0; row < rows; row++) {
      const word = zeros[(group * rows + row) >>> 3] as number
      const zero = ((word >>> (shifts[row & 7] as number)) & 15) + added
      const s = halves[group * rows + row] as number
      out.scales[row * groups + group] = s | ((INTEGERS[zero] as number) << 16)
    }
  }
}
