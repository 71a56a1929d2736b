/**
 * The layout of a weight matrix, shared by every kernel that reads one: [N][K] is stored as words of four consecutive K
 * elements, [K/4][N], so that neighbouring columns of the product are adjacent. It must never know a tensor's name.
 */

import weightBf16 from '../../shaders/lib/weightBf16.wgsl?raw'
import weightF16 from '../../shaders/lib/weightF16.wgsl?raw'
import weightF32 from '../../shaders/lib/weightF32.wgsl?raw'
import { assert } from '../util/math.ts'
import { WEIGHT_BYTES, type WeightDtype } from '../weights/decode.ts'

export type { WeightDtype }

const WORD_LIB: Readonly<Record<WeightDtype, string>> = { bf16: weightBf16, f16: weightF16, f32: weightF32 }

/** WGSL of a weight word of `dtype`: `WeightWord`, `unpackWeight`. */
export function weightLib(dtype: WeightDtype): string {
  return WORD_LIB[dtype]
}

/** Bytes of a matrix [rows][k], in either order. */
export function weightBytes(dtype: WeightDtype, rows: number, k: number): number {
  return rows * k * WEIGHT_BYTES[dtype]
}

/** A stored matrix [k/4][columns], to be filled by `packWeight`. */
export interface PackedWeight {
  readonly dtype: WeightDtype
  /** a multiple of 4 */
  readonly k: number
  readonly columns: number
  /** `weightBytes(dtype, columns, k)` bytes as 32-bit words */
  readonly words: Uint32Array<ArrayBuffer>
}

/** Allocates a stored matrix for [columns][k]. */
export function packedWeight(dtype: WeightDtype, columns: number, k: number): PackedWeight {
  assert(k % 4 === 0, `the inner size of a weight is a multiple of 4, not ${k}`)
  return { dtype, k, columns, words: new Uint32Array(weightBytes(dtype, columns, k) / 4) }
}

/**
 * Packs the matrix [n][k] with the bytes `source` into columns `firstColumn`…`firstColumn + n - 1`. Q, K and V of the
 * same input share a stored matrix this way.
 */
export function packWeight(target: PackedWeight, source: Uint8Array, firstColumn = 0): void {
  const { dtype, k, columns } = target
  const n = source.byteLength / weightBytes(dtype, 1, k)
  assert(Number.isInteger(n) && firstColumn + n <= columns, `a matrix of ${n} rows does not fit at ${firstColumn}`)
  const aligned = source.byteOffset % 4 === 0 ? source : source.slice()
  const from = new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / 4)
  const word = WEIGHT_BYTES[dtype] // 32-bit words in a weight word: four values of this many bytes
  for (let column = 0; column < n; column++) {
    for (let group = 0; group < k / 4; group++) {
      const read = (column * (k / 4) + group) * word
      const write = (group * columns + firstColumn + column) * word
      for (let i = 0; i < word; i++) target.words[write + i] = from[read + i] as number
    }
  }
}

/** Copies some columns of a stored matrix, in the given order. */
export function selectColumns(from: PackedWeight, columns: readonly number[]): PackedWeight {
  const selected = packedWeight(from.dtype, columns.length, from.k)
  const word = WEIGHT_BYTES[from.dtype] // 32-bit words in a weight word
  for (let group = 0; group < from.k / 4; group++) {
    for (const [index, column] of columns.entries()) {
      const read = (group * from.columns + column) * word
      const write = (group * columns.length + index) * word
      for (let i = 0; i < word; i++) selected.words[write + i] = from.words[read + i] as number
    }
  }
  return selected
}
