/**
 * How the engine holds a matrix of weights: codes of one width and, if they are quantised, two numbers s and m for each group of
 * inputs, so that
 *
 *     w = fma(code, s, m)
 *
 * s, m and code · s are exact in f32 in every format, so w is rounded once, and is one f32 number whatever computes it. It must
 * never know what a matrix is used for, or how its rows are arranged on a device.
 */

import { assert, cdiv } from '../util/math.ts'

export type WeightFormat = PlainFormat | QuantisedFormat

/** w is the code. */
export interface PlainFormat {
  readonly codes: 'f32' | 'f16' | 'bf16'
}

/** Codes are unsigned integers of 4 or 8 bits. */
export interface QuantisedFormat {
  readonly codes: 'u4' | 'u8'
  /** inputs that share s and m; divides the inputs of a row */
  readonly group: 16 | 32 | 64 | 128
  readonly scales: ScaleFormat
}

/**
 * How s and m of a group are stored:
 * - `half`: s in f16; m = -zero · s.
 * - `offset`: s and m in f16 or bf16.
 * - `zeroPoint`: s and an integer z in f16; m = -z · s.
 * - `super`: for 256 inputs f16 d and dmin, and for each group in them 8-bit integers. With groups of 32: sc and mn, unsigned;
 *   s = d · sc, m = -dmin · mn. With groups of 16: sc, signed; s = d · sc, m = -32 · s. Files have at most 6 bits in sc, mn and codes
 *   (sc of groups of 16: 8, signed), and only so is code · s exact.
 */
export type ScaleFormat =
  | { readonly kind: 'half'; readonly zero: number }
  | { readonly kind: 'offset'; readonly halves: 'f16' | 'bf16' }
  | { readonly kind: 'zeroPoint' }
  | { readonly kind: 'super' }

/** Inputs that share d and dmin. */
export const SUPER_GROUP = 256

/** Consecutive rows of a matrix, row-major. A vector is one row. */
export interface WeightRows {
  readonly format: WeightFormat
  /** inputs of a row: K */
  readonly inputs: number
  readonly count: number
  /** [count][codeBytes(K)], little-endian; of two 4-bit codes in a byte the first is in the low half */
  readonly codes: Uint8Array
  /**
   * [count][scaleWords(K)]. `half`: s of two groups, the first in the low half. `offset`, `zeroPoint`: one word per group, s in the
   * low half. `super`: d and dmin (the low and the high half of a word), then four words of bytes, for each group sc and mn, or sc.
   */
  readonly scales: Uint32Array
}

const CODE_BITS = { f32: 32, f16: 16, bf16: 16, u8: 8, u4: 4 } as const satisfies Record<WeightFormat['codes'], number>

export function isQuantised(format: WeightFormat): format is QuantisedFormat {
  return format.codes === 'u4' || format.codes === 'u8'
}

/** Bytes of the codes of `inputs` inputs. */
export function codeBytes({ codes }: WeightFormat, inputs: number): number {
  const bits = CODE_BITS[codes] * inputs
  assert(bits % 8 === 0, `${inputs} ${codes} codes fill whole bytes`)
  return bits / 8
}

/** 32-bit words of the scales of a row of `inputs` inputs; 0 for a plain format. */
export function scaleWords(format: WeightFormat, inputs: number): number {
  if (!isQuantised(format)) return 0
  const { group, scales } = format
  assert(inputs % group === 0, `groups of ${group} divide ${inputs} inputs`)
  if (scales.kind === 'half') return cdiv(inputs / group, 2)
  if (scales.kind !== 'super') return inputs / group
  assert(inputs % SUPER_GROUP === 0, `groups of ${SUPER_GROUP} divide ${inputs} inputs`)
  return (inputs / SUPER_GROUP) * 5
}

/** Rows whose codes and scales are all 0 so far. Both begin a buffer of their own. */
export function emptyRows(format: WeightFormat, inputs: number, count: number): WeightRows {
  const codes = new Uint8Array(count * codeBytes(format, inputs))
  return { format, inputs, count, codes, scales: new Uint32Array(count * scaleWords(format, inputs)) }
}

/** Whether two formats are the same. */
export function sameFormat(a: WeightFormat, b: WeightFormat): boolean {
  return formatName(a) === formatName(b)
}

/** For messages and `stats()`: "bf16", "u4 g64 offset". */
export function formatName(format: WeightFormat): string {
  if (!isQuantised(format)) return format.codes
  const { codes, group, scales } = format
  const detail = scales.kind === 'half' ? `half ${scales.zero}` : scales.kind
  return `${codes} g${group} ${detail}${scales.kind === 'offset' && scales.halves === 'bf16' ? ' bf16' : ''}`
}
