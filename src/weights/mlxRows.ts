/**
 * Rows of MLX's affine quantisation. Its words of codes, read as bytes, are the engine's codes. It must never know where bytes come
 * from. (Layout: mlx/ops.cpp of https://github.com/ml-explore/mlx.)
 */

import { type Encoding, formatOf } from './encoding.ts'
import { scaleWords, type WeightRows } from './format.ts'
import { alignedHalves } from './words.ts'

export type MlxEncoding = Extract<Encoding, { kind: 'mlx' }>

/**
 * The codes are not copied: they are `data[0]`.
 * @param data codes, scales and offsets of these rows
 */
export function mlxRows(encoding: MlxEncoding, data: readonly Uint8Array[], rows: number, inputs: number): WeightRows {
  const [codes, s, m] = data as [Uint8Array, Uint8Array, Uint8Array]
  const format = formatOf(encoding)
  const scales = new Uint32Array(rows * scaleWords(format, inputs))
  const low = alignedHalves(s)
  const high = alignedHalves(m)
  for (let i = 0; i < scales.length; i++) scales[i] = (low[i] as number) | ((high[i] as number) << 16)
  return { format, inputs, count: rows, codes, scales }
}
