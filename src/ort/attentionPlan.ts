/**
 * The buffers of the attention module, by name and size, computed before anything is allocated: the KV caches, the rows of one
 * pass, the tables that it reads. It must never know where a buffer is.
 */

import { BLOCK_SIZE } from '../core/cost.ts'
import type { StepGeometry } from '../core/stepGeometry.ts'
import type { LayerSpec, ModelSpec } from '../models/modelSpec.ts'
import { assert } from '../util/math.ts'
import type { PlannedBuffer } from './attentionMemory.ts'

/** What attention needs to know of a model. */
export interface AttentionShape
  extends Pick<ModelSpec, 'rmsNormEps' | 'attentionScale' | 'attentionSoftcap' | 'queryScaling' | 'ropes'> {
  /** query heads, a multiple of `kvHeads` */
  readonly heads: number
  readonly kvHeads: number
  /** a multiple of 4 */
  readonly headDim: number
  /** RMSNorm on each query and key head before RoPE */
  readonly headNorm: boolean
  /** of each KV cache: the model's, and one more for a drafter */
  readonly layers: readonly LayerSpec[]
}

/** The sizes of a step that attention allocates by. */
export interface AttentionGeometry extends Pick<StepGeometry, 'rows' | 'totalBlocks' | 'maxBlocks'> {
  /** positions of the tables */
  readonly maxModelLen: number
}

export const QKV = 'qkv' // [rows][heads + 2 · kvHeads][headDim] f32
export const OUT = 'attention' // [rows][heads][headDim] f32
export const POSITIONS = 'positions' // [rows] i32
export const SLOTS = 'slots' // [rows] i32
export const BLOCK_TABLE = 'blockTable' // [maxBlocks] i32
export const QUERY_SCALES = 'queryScales' // [maxModelLen] f32: what a query at a position is multiplied by
export const SCRATCH = 'scores' // what assembly/attend.ts says of `scratch`

/** K of a cache, [block][kvHead][headDim][16], then V, [block][kvHead][16][headDim], both f32. */
export function kvName(cache: number): string {
  return `kv.${cache}`
}

/** The table of an entry of `ropes`, [maxModelLen][dims / 2][2] f32. */
export function ropeName(rope: number): string {
  return `rope.${rope}`
}

/** QK-norm weights of a cache's layer, [2][headDim] f32: queries, keys. */
export function normsName(cache: number): string {
  return `qkNorm.${cache}`
}

/** The buffers in order of allocation; those of KV caches begin with "kv.". */
export function attentionPlan(shape: AttentionShape, geometry: AttentionGeometry): readonly PlannedBuffer[] {
  const { heads, kvHeads, headDim, ropes } = shape
  const { rows, totalBlocks, maxBlocks, maxModelLen } = geometry
  assert(headDim % 4 === 0 && heads % kvHeads === 0, 'headDim is a multiple of 4, and kvHeads divides heads')
  assert(
    ropes.every(({ dims }) => dims % 2 === 0 && dims <= headDim),
    'a head is rotated in pairs',
  )
  const caches = [...shape.layers.keys()]
  return [
    ...caches.map((cache) => words(kvName(cache), 2 * kvPoolFloats(shape, totalBlocks))),
    ...(shape.headNorm ? caches.map((cache) => words(normsName(cache), 2 * headDim)) : []),
    words(QKV, rows * (heads + 2 * kvHeads) * headDim),
    words(OUT, rows * heads * headDim),
    words(POSITIONS, rows),
    words(SLOTS, rows),
    words(BLOCK_TABLE, maxBlocks),
    ...ropes.map(({ dims }, rope) => words(ropeName(rope), maxModelLen * dims)),
    words(QUERY_SCALES, maxModelLen),
    words(SCRATCH, 8 * headDim + 16 + maxBlocks * BLOCK_SIZE * 4),
  ]
}

/** Floats of K, or of V, of one cache. */
export function kvPoolFloats(
  { kvHeads, headDim }: Pick<AttentionShape, 'kvHeads' | 'headDim'>,
  totalBlocks: number,
): number {
  return totalBlocks * BLOCK_SIZE * kvHeads * headDim
}

function words(name: string, count: number): PlannedBuffer {
  return { name, bytes: count * 4 }
}
