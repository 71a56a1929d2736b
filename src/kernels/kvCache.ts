/**
 * The layout of a layer's KV cache, shared by every kernel that accesses it: one buffer, the K half before the V half,
 * each [block][kvHead][slot in block][headDim] in words of four values. It must never know which request owns a block.
 */

import kvF16 from '../../shaders/lib/kvF16.wgsl?raw'
import kvF32 from '../../shaders/lib/kvF32.wgsl?raw'
import kvLayout from '../../shaders/lib/kvLayout.wgsl?raw'
import requestTable from '../../shaders/lib/requestTable.wgsl?raw'
import type { Specialisation } from '../gpu/kernel.ts'
import { WeirError } from '../protocol/errors.ts'

export type KvDtype = 'f16' | 'f32'

/** Tokens per block: `BLOCK_SIZE` of the shaders. */
export const KV_BLOCK_SIZE = 16

export interface KvShape {
  readonly kvHeads: number
  /** a multiple of 8 */
  readonly headDim: number
  readonly totalBlocks: number
  readonly kvDtype: KvDtype
}

const WORD_LIBS: Readonly<Record<KvDtype, string>> = { f16: kvF16, f32: kvF32 }
const VALUE_BYTES: Readonly<Record<KvDtype, number>> = { f16: 2, f32: 4 }

/** WGSL of a cache word: `KvWord`, `packKv`, `unpackKv`. */
function kvLib(dtype: KvDtype): string {
  return WORD_LIBS[dtype]
}

/** Bytes of a cache word of four values. */
export function kvWordBytes(dtype: KvDtype): number {
  return 4 * VALUE_BYTES[dtype]
}

/** Bytes of one layer's cache, K and V. */
export function kvBytes(totalBlocks: number, kvHeads: number, headDim: number, dtype: KvDtype): number {
  return 2 * totalBlocks * KV_BLOCK_SIZE * kvHeads * headDim * VALUE_BYTES[dtype]
}

/**
 * Constants and libs with which a kernel addresses a cache of this shape.
 * @throws MODEL_FORMAT for a head size that the layout does not support
 */
export function kvSpecialisation(shape: KvShape) {
  if (shape.headDim <= 0 || shape.headDim % 8 !== 0) {
    throw new WeirError('MODEL_FORMAT', `head_dim is ${shape.headDim}: the kernels need a multiple of 8`)
  }
  return {
    constants: { KV_HEADS: shape.kvHeads, TOTAL_BLOCKS: shape.totalBlocks },
    consts: { HEAD_VECS: shape.headDim / 4 },
    libs: [requestTable, kvLib(shape.kvDtype), kvLayout],
  } satisfies Specialisation
}
