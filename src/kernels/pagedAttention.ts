/**
 * Ragged attention over the paged cache: host half of `pagedAttention.wgsl`, and the shape that all attention kernels share. Its
 * work lists are made by `attentionPlan.ts`. It must never know which request an item belongs to.
 */

import libOrder from '../../shaders/lib/order.wgsl?raw'
import libPass from '../../shaders/lib/pass.wgsl?raw'
import libScore from '../../shaders/lib/score.wgsl?raw'
import libSoftmax from '../../shaders/lib/softmax.wgsl?raw'
import libTanh from '../../shaders/lib/tanh.wgsl?raw'
import source from '../../shaders/pagedAttention.wgsl?raw'
import type { Kernel, Specialisation } from '../gpu/kernel.ts'
import { cdiv } from '../util/math.ts'
import { ATTENTION_ROWS, rowsPerItem } from './attentionPlan.ts'
import { type KvShape, kvSpecialisation, kvWordBytes } from './kvCache.ts'
import type { KernelVariant } from './variant.ts'

export interface AttentionShape extends KvShape {
  /** query heads, a multiple of `kvHeads` */
  readonly heads: number
  /** blocks in a row of the block table */
  readonly maxBlocks: number
  /** query i sees keys j with i - window < j ≤ i; undefined: all up to its own. Work lists and merges do not depend on it. */
  readonly window: number | undefined
  /** c: a score becomes c · tanh(score / c) */
  readonly softcap: number | undefined
}

const LANES = 256
const KEY_TILE = 32
const WORKGROUP_BYTES = 16384

const pagedAttentionKernel: Kernel = {
  name: 'pagedAttention',
  source,
  groups: {
    step: { pass: 'uniform', items: 'read', positions: 'read', tableRows: 'read', blockTable: 'read' },
    layer: { cache: 'read' },
    activations: { q: 'read', out: 'write', partials: 'write' },
  },
}

/** Its rows are items of the work list; partials are merged afterwards by `attentionMerge`. */
export const pagedAttention: KernelVariant<AttentionShape> = {
  name: 'workgroup',
  kernel: pagedAttentionKernel,
  specialise(shape) {
    const spec = attentionSpecialisation(shape)
    const rows = packedRows(shape)
    return {
      ...spec,
      constants: { ...spec.constants, PACKED_ROWS: rows, STAGE_KEYS: stageKeys(shape, rows) },
      consts: { ...spec.consts, LANE_VECS: cdiv((rows * shape.headDim) / 4, LANES) },
    }
  },
  grid(shape, items) {
    const group = shape.heads / shape.kvHeads
    return [items, shape.kvHeads, cdiv(rowsPerItem(group) * group, packedRows(shape))]
  },
}

/** f32 words of one partial: (m, l, 0, 0) and o of each head. */
export function partialWords(shape: Pick<AttentionShape, 'heads' | 'headDim'>): number {
  return shape.heads * (shape.headDim + 4)
}

/** The specialisation shared by all attention kernels over the cache. */
export function attentionSpecialisation(shape: AttentionShape): Specialisation & { readonly libs: readonly string[] } {
  const kv = kvSpecialisation(shape)
  return {
    constants: {
      ...kv.constants,
      HEADS: shape.heads,
      MAX_BLOCKS: shape.maxBlocks,
      WINDOW: shape.window ?? 0,
      SOFTCAP: Math.fround(shape.softcap ?? 0),
    },
    consts: kv.consts,
    libs: [libPass, libOrder, ...kv.libs, libSoftmax, libTanh, libScore],
  }
}

/**
 * Packed rows of an item per workgroup. Heads wider than 128 split an item over several, so that queries fit in workgroup
 * memory.
 */
function packedRows(shape: AttentionShape): number {
  return Math.floor(ATTENTION_ROWS / cdiv(shape.headDim, 128))
}

/** Keys staged at a time: as many as fit in workgroup memory beside queries, scores and weights. */
function stageKeys(shape: AttentionShape, rows: number): number {
  const room = WORKGROUP_BYTES - rows * shape.headDim * 4 - 2 * rows * KEY_TILE * 4
  let keys = KEY_TILE
  while (keys * (shape.headDim / 4) * kvWordBytes(shape.kvDtype) > room) keys /= 2
  return keys
}
