/**
 * Attention of the WebAssembly backend on requests whose tokens' q, k and v follow from a seed and a position: a row has the
 * same input in whatever batch it is computed. All memory that is not an input is NaN beforehand.
 */

import { BLOCK_SIZE } from '../../src/core/cost.ts'
import { NO_SLOT, type RowBatch, type RowRun } from '../../src/host/hostModel.ts'
import { Attention } from '../../src/ort/attention.ts'
import { type AttentionGeometry, type AttentionShape, QUERY_SCALES, ropeName } from '../../src/ort/attentionPlan.ts'
import { at, cdiv, sum } from '../../src/util/math.ts'
import { randomFloats, seededRandom } from './random.ts'

export const THETA = 10000
export const EPS = 1e-6

type Heads = 'heads' | 'kvHeads' | 'headDim'

export interface RigSizes extends Pick<AttentionShape, Heads>, Partial<Omit<AttentionShape, Heads | 'rmsNormEps'>> {
  /** that many layers without a window, rotated by the first table; if `layers` is not given */
  readonly caches?: number
  readonly rows?: number
  readonly totalBlocks?: number
  readonly maxModelLen?: number
}

/** Tokens of a request by position; the first `shared` are those of `seed`, the others of `ownSeed`. */
export interface Tokens {
  readonly seed: number
  readonly shared: number
  readonly ownSeed: number
  readonly blocks: Int32Array
}

/** Rows of a batch: `rows` tokens of a request from `position` on. */
export interface Part {
  readonly tokens: Tokens
  readonly position: number
  readonly rows: number
  /** K and V are stored already, or not wanted */
  readonly noSlots?: boolean
}

export class AttentionRig {
  readonly attention: Attention
  readonly shape: AttentionShape
  readonly geometry: AttentionGeometry
  /** [caches][2][headDim]: weights of QK-norm */
  readonly norms: readonly (readonly [Float32Array, Float32Array])[]

  private constructor(attention: Attention, shape: AttentionShape, geometry: AttentionGeometry) {
    this.attention = attention
    this.shape = shape
    this.geometry = geometry
    this.norms = Array.from({ length: shape.layers.length }, (_, cache) => {
      const weights = (seed: number) => randomFloats(seed, shape.headDim, 0.5).map((value) => 1 + value)
      return [weights(91 + cache), weights(191 + cache)] as const
    })
  }

  static async create(sizes: RigSizes): Promise<AttentionRig> {
    const { rows = 64, totalBlocks = 48, maxModelLen = 640, caches = 1, ...given } = sizes
    const { headDim, headNorm = true } = given
    const shape: AttentionShape = {
      rmsNormEps: EPS,
      attentionScale: 1 / Math.sqrt(headDim),
      attentionSoftcap: undefined,
      queryScaling: undefined,
      ropes: [{ dims: headDim, theta: THETA, scaling: undefined }],
      layers: Array.from({ length: caches }, () => ({ cache: 'paged', window: undefined, rope: 0 })),
      ...given,
      headNorm,
    }
    const geometry = { rows, totalBlocks, maxBlocks: cdiv(maxModelLen, BLOCK_SIZE), maxModelLen }
    const attention = await Attention.create(shape, geometry)
    const rig = new AttentionRig(attention, shape, geometry)
    for (const { name } of attention.memory.buffers.values()) {
      if (!tableNames(shape).includes(name)) attention.memory.floats(name).fill(Number.NaN)
    }
    if (headNorm) rig.norms.forEach(([queries, keys], cache) => void attention.setNorms(cache, queries, keys))
    return rig
  }

  /** Values of one row of qkv. */
  get width(): number {
    return (this.shape.heads + 2 * this.shape.kvHeads) * this.shape.headDim
  }

  /** Values of one row of the output. */
  get outWidth(): number {
    return this.shape.heads * this.shape.headDim
  }

  /** Writes the inputs of a batch to qkv. */
  input(parts: readonly Part[]): RowBatch {
    const batch = batchOf(parts)
    let row = 0
    for (const { tokens, position, rows } of parts) {
      for (let i = 0; i < rows; i++, row++)
        this.attention.qkv.set(tokenInput(tokens, position + i, this), row * this.width)
    }
    return batch
  }

  /** K and V to the cache and attention of all rows. @returns the rows of each part [rows][heads · headDim] */
  run(parts: readonly Part[], cache = 0): Float32Array[] {
    const batch = this.input(parts)
    this.attention.out.fill(Number.NaN)
    this.attention.writeKv(cache, batch, true)
    this.attention.attend(cache, batch)
    return batch.runs.map(({ firstRow, rows }) => this.outRows(firstRow, rows))
  }

  /** A copy of rows of the output. */
  outRows(first: number, rows: number): Float32Array {
    return this.attention.out.slice(first * this.outWidth, (first + rows) * this.outWidth)
  }

  /** Positions from…to - 1 of a request in chunks as long as the buffers allow. @returns all rows */
  runAll(tokens: Tokens, from: number, to: number): Float32Array {
    const all = new Float32Array((to - from) * this.outWidth)
    for (let position = from; position < to; position += this.geometry.rows) {
      const rows = Math.min(this.geometry.rows, to - position)
      all.set(this.run([{ tokens, position, rows }])[0] ?? [], (position - from) * this.outWidth)
    }
    return all
  }
}

/** The buffers that are computed once. */
export function tableNames({ ropes }: AttentionShape): string[] {
  return [QUERY_SCALES, ...ropes.map((_, rope) => ropeName(rope))]
}

/** The q, k and v of a token, before norm and rotation. */
export function tokenInput(tokens: Tokens, position: number, { width }: Pick<AttentionRig, 'width'>): Float32Array {
  const seed = position < tokens.shared ? tokens.seed : tokens.ownSeed
  return randomFloats(seed * 7919 + position, width, 1.5)
}

export function batchOf(parts: readonly Part[]): RowBatch {
  const count = sum(parts.map(({ rows }) => rows))
  const positions = new Int32Array(count)
  const slots = new Int32Array(count)
  const runs: RowRun[] = []
  let row = 0
  for (const { tokens, position, rows, noSlots } of parts) {
    runs.push({ firstRow: row, rows, position, blocks: tokens.blocks })
    for (let i = position; i < position + rows; i++, row++) {
      positions[row] = i
      slots[row] = noSlots ? NO_SLOT : at(tokens.blocks, Math.floor(i / BLOCK_SIZE)) * BLOCK_SIZE + (i % BLOCK_SIZE)
    }
  }
  return { count, ids: new Int32Array(count), positions, slots, runs }
}

/** Hands out the blocks of a pool in random order. */
export function scatteredBlocks(totalBlocks: number, seed: number): (tokens: number) => Int32Array {
  const random = seededRandom(seed)
  const free = Array.from({ length: totalBlocks }, (_, block) => block)
  return (tokens) => {
    const count = cdiv(tokens, BLOCK_SIZE)
    if (count > free.length) throw new Error(`${count} blocks are not there`)
    return Int32Array.from({ length: count }, () => free.splice(Math.floor(random() * free.length), 1)[0] ?? -1)
  }
}

export function tokensOf(seed: number, blocks: Int32Array): Tokens {
  return { seed, shared: 0, ownSeed: seed, blocks }
}
