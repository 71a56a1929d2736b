/**
 * The attention of the WebAssembly backend: host half of `assembly/attention.ts`. A row's bits depend on its own context alone,
 * whatever rows and requests are computed with it. It must never know which layer a cache belongs to, nor how qkv was computed.
 */

import { BLOCK_SIZE } from '../core/cost.ts'
import { NO_SLOT, type RowBatch, type RowRun } from '../host/hostModel.ts'
import type { LayerSpec } from '../models/modelSpec.ts'
import { ropeFrequencies } from '../models/rope.ts'
import { WeirError } from '../protocol/errors.ts'
import { assert, at, cdiv } from '../util/math.ts'
import { ropeTable } from '../util/ropeTable.ts'
import { AttentionMemory } from './attentionMemory.ts'
import { type AttentionExports, instantiateAttention } from './attentionModule.ts'
import {
  type AttentionGeometry,
  type AttentionShape,
  attentionPlan,
  BLOCK_TABLE,
  kvName,
  kvPoolFloats,
  normsName,
  OUT,
  POSITIONS,
  QKV,
  QUERY_SCALES,
  ropeName,
  SCRATCH,
  SLOTS,
} from './attentionPlan.ts'

/** Every key is within this window. */
const NO_WINDOW = 2 ** 31 - 1

type Floats = Float32Array<ArrayBuffer>

export class Attention {
  /** input: a row is [query heads, key heads, value heads][headDim] */
  readonly qkv: Floats // [rows][(heads + 2 · kvHeads) · headDim]
  /** output of `attend` */
  readonly out: Floats // [rows][heads · headDim]
  readonly memory: AttentionMemory
  readonly #exports: AttentionExports
  readonly #shape: AttentionShape
  readonly #geometry: AttentionGeometry

  private constructor(
    memory: AttentionMemory,
    exports: AttentionExports,
    shape: AttentionShape,
    geometry: AttentionGeometry,
  ) {
    this.memory = memory
    this.#exports = exports
    this.#shape = shape
    this.#geometry = geometry
    this.qkv = memory.floats(QKV)
    this.out = memory.floats(OUT)
  }

  /**
   * Allocates the buffers of `attentionPlan`, zeroed, and computes the tables.
   * @throws OUT_OF_MEMORY naming kvCacheTokens; BACKEND_UNAVAILABLE
   */
  static async create(shape: AttentionShape, geometry: AttentionGeometry): Promise<Attention> {
    const { heads, kvHeads, headDim, rmsNormEps, attentionSoftcap } = shape
    const memory = new AttentionMemory(attentionPlan(shape, geometry))
    const exports = await instantiateAttention(memory.memory)
    exports.configure(heads, kvHeads, headDim, rmsNormEps, attentionSoftcap ?? 0)
    for (const [index, rope] of shape.ropes.entries()) {
      const { frequencies, factor } = ropeFrequencies(rope, geometry.maxModelLen)
      memory.floats(ropeName(index)).set(ropeTable(frequencies, geometry.maxModelLen, () => factor))
    }
    memory.floats(QUERY_SCALES).set(queryScales(shape, geometry.maxModelLen))
    return new Attention(memory, exports, shape, geometry)
  }

  /** Sets the QK-norm weights of a cache's layer. @param queries [headDim] @param keys [headDim] */
  setNorms(cache: number, queries: Float32Array, keys: Float32Array): void {
    const { headDim } = this.#shape
    assert(queries.length === headDim && keys.length === headDim, `QK-norm has ${headDim} weights each`)
    const norms = this.memory.floats(normsName(cache))
    norms.set(queries)
    norms.set(keys, headDim)
  }

  /**
   * Normalises and rotates the key heads of rows 0…count - 1 of `qkv` in place, and stores their K and V at the rows' slots.
   * @param queries whether query heads are normalised and rotated as well: false for a pass that only fills the cache
   * @throws BUDGET_EXCEEDED
   */
  writeKv(cache: number, rows: RowBatch, queries: boolean): void {
    this.#checkRows(rows.count)
    this.#place(POSITIONS, rows.positions, rows.count, 0, this.#geometry.maxModelLen - 1)
    this.#place(SLOTS, rows.slots, rows.count, NO_SLOT, this.#geometry.totalBlocks * BLOCK_SIZE - 1)
    const { memory } = this
    const { headNorm, headDim, ropes } = this.#shape
    const norms = headNorm ? memory.address(normsName(cache)) : 0
    const { keys, values } = this.#pools(cache)
    const { rope } = this.#layer(cache)
    this.#exports.writeKv(
      memory.address(QKV),
      rows.count,
      memory.address(POSITIONS),
      memory.address(SLOTS),
      Number(queries),
      rope === undefined ? 0 : memory.address(ropeName(rope)),
      rope === undefined ? 0 : at(ropes, rope).dims * 4,
      norms,
      norms && norms + headDim * 4,
      keys,
      values,
    )
  }

  /**
   * Writes rows 0…count - 1 of `out`: each row's attention to positions 0…its own of its run, or to the last `window` of them. K
   * and V of all of these, its own included, have been stored by `writeKv`, which has also prepared the queries.
   * @throws BUDGET_EXCEEDED
   */
  attend(cache: number, rows: RowBatch): void {
    this.#checkRows(rows.count)
    const { memory } = this
    const { heads, kvHeads, headDim } = this.#shape
    const { keys, values } = this.#pools(cache)
    const { window } = this.#layer(cache)
    let next = 0
    for (const run of rows.runs) {
      assert(run.firstRow === next, 'runs cover the rows in order')
      next += run.rows
      assert(next <= rows.count, 'runs cover no more rows than there are')
      this.#placeBlocks(run)
      this.#exports.attend(
        memory.address(QKV) + run.firstRow * (heads + 2 * kvHeads) * headDim * 4,
        memory.address(OUT) + run.firstRow * heads * headDim * 4,
        run.rows,
        run.position,
        window ?? NO_WINDOW,
        memory.address(QUERY_SCALES),
        memory.address(BLOCK_TABLE),
        keys,
        values,
        memory.address(SCRATCH),
        this.#geometry.maxBlocks * BLOCK_SIZE * 4,
      )
    }
    assert(next === rows.count, 'runs cover all rows')
  }

  #layer(cache: number): LayerSpec {
    return at(this.#shape.layers, cache)
  }

  /** Addresses of K and V of a cache. */
  #pools(cache: number): { readonly keys: number; readonly values: number } {
    const keys = this.memory.address(kvName(cache))
    return { keys, values: keys + kvPoolFloats(this.#shape, this.#geometry.totalBlocks) * 4 }
  }

  /** Copies the first `count` values, each from `least` to `most`, to a buffer of the module. */
  #place(name: string, values: Int32Array, count: number, least: number, most: number): void {
    const to = this.memory.integers(name)
    for (let i = 0; i < count; i++) {
      const value = at(values, i)
      assert(value >= least && value <= most, `${name} of a row are within the cache and maxModelLen`)
      to[i] = value
    }
  }

  /** Copies the ids of the blocks that a run attends to. */
  #placeBlocks({ position, rows, blocks }: RowRun): void {
    const count = cdiv(position + rows, BLOCK_SIZE)
    assert(position >= 0 && count <= this.#geometry.maxBlocks, 'a run lies within maxModelLen')
    this.#place(BLOCK_TABLE, blocks, count, 0, this.#geometry.totalBlocks - 1)
  }

  #checkRows(rows: number): void {
    const limit = this.#geometry.rows
    if (rows <= limit) return
    const message = `${rows} rows of attention, the buffers hold ${limit}: raise maxNumBatchedTokens`
    throw new WeirError('BUDGET_EXCEEDED', message, { rows, limit })
  }
}

/** attentionScale, and what `queryScaling` adds to it by position. */
function queryScales({ attentionScale, queryScaling }: AttentionShape, positions: number): Float32Array {
  return Float32Array.from({ length: positions }, (_, position) => {
    if (!queryScaling) return attentionScale
    const { beta, originalPositions } = queryScaling
    return attentionScale * (1 + beta * Math.log(1 + Math.floor(position / originalPositions)))
  })
}
