/** QK-norm, RoPE and the write of K and V to the cache: host half of `ropeKv.wgsl`. */

import libOrder from '../../shaders/lib/order.wgsl?raw'
import libPass from '../../shaders/lib/pass.wgsl?raw'
import libRope from '../../shaders/lib/rope.wgsl?raw'
import source from '../../shaders/ropeKv.wgsl?raw'
import type { Kernel, Specialisation } from '../gpu/kernel.ts'
import { WeirError } from '../protocol/errors.ts'
import { cdiv } from '../util/math.ts'
import { type KvShape, kvSpecialisation } from './kvCache.ts'
import type { KernelVariant } from './variant.ts'

export interface RopeKvShape extends KvShape {
  readonly heads: number
  /** epsilon of QK-norm */
  readonly eps: number
  /** false: input rows have no query heads and `q` is not written (a pass that only fills the cache) */
  readonly writeQuery: boolean
  /** false: no norm before the rotation; `qNorm` and `kNorm` are bound and not read */
  readonly qkNorm: boolean
  /** rotated dims, the first of a head, a multiple of 8; 0: none, and `rope` is bound and not read */
  readonly rotaryDims: number
  /** queries are multiplied by it */
  readonly queryScale: number
  /** row of `rope` where the table of queries begins: 0, or as many rows as the table of keys has */
  readonly queryTable: number
}

const HEADS_PER_WORKGROUP = 4

/** rope: tables [positions][rotaryDims / 2][2], of keys and, where theirs is another, of queries behind it. */
export const ropeKvGroups = {
  step: { pass: 'uniform', positions: 'read', slots: 'read' },
  layer: { qNorm: 'read', kNorm: 'read', rope: 'read', cache: 'write' },
  activations: { qkv: 'read', q: 'write' },
} as const satisfies Kernel['groups']

const ropeKvKernel: Kernel = { name: 'ropeKv', source, groups: ropeKvGroups }

export const ropeKv: KernelVariant<RopeKvShape> = {
  name: 'workgroup',
  kernel: ropeKvKernel,
  specialise: ropeKvSpecialisation,
  grid: (shape, rows) => [cdiv(inputHeads(shape), HEADS_PER_WORKGROUP), rows, 1],
}

/** Heads per input row: query, key, value. */
export function inputHeads(shape: RopeKvShape): number {
  return (shape.writeQuery ? shape.heads : 0) + 2 * shape.kvHeads
}

/**
 * Both variants take the same constants.
 * @throws MODEL_FORMAT for a number of rotated dims that the table does not support
 */
export function ropeKvSpecialisation(shape: RopeKvShape): Specialisation {
  const { rotaryDims, headDim } = shape
  if (rotaryDims % 8 !== 0 || rotaryDims > headDim) {
    throw new WeirError(
      'MODEL_FORMAT',
      `${rotaryDims} of ${headDim} dims of a head are rotated: the kernels need a multiple of 8, at most ${headDim}`,
    )
  }
  const kv = kvSpecialisation(shape)
  const constants = {
    HEADS: shape.heads,
    EPS: shape.eps,
    QUERY_SCALE: Math.fround(shape.queryScale),
    WRITE_QUERY: shape.writeQuery,
    QK_NORM: shape.qkNorm,
    ROTARY_VECS: rotaryDims / 4,
    QUERY_TABLE: shape.queryTable,
  }
  return {
    constants: { ...kv.constants, ...constants },
    consts: kv.consts,
    libs: [libPass, libOrder, ...kv.libs, libRope],
  }
}
