/**
 * A ragged batch over a paged cache, and what attention over it must give: requests with shuffled blocks, stale slots full of
 * NaN, a float64 reference. Shared by the tests of the attention kernels.
 */

import type { KvDtype } from '../../src/kernels/kvCache.ts'
import type { AttentionShape } from '../../src/kernels/pagedAttention.ts'
import { at, cdiv } from '../../src/util/math.ts'
import { randomFloats, seededRandom, type Words } from './kernelHarness.ts'

const BLOCK = 16

/** What a case is made for; neither a window nor a cap by default. */
export type AttentionSizes = Pick<AttentionShape, 'heads' | 'kvHeads' | 'headDim' | 'kvDtype'> &
  Partial<Pick<AttentionShape, 'window' | 'softcap'>>

/** A request of the batch: its last `rows` tokens of `context` are the rows. */
export interface RaggedRequest {
  readonly rows: number
  readonly context: number
}

export interface AttentionCase {
  readonly shape: AttentionShape
  readonly requests: readonly RaggedRequest[]
  /** rows of the pass; buffers hold SPARE_ROWS more */
  readonly rows: number
  /** by binding name, without work lists */
  readonly buffers: Readonly<Record<'positions' | 'tableRows' | 'blockTable' | 'cache' | 'q', Words>>
  /** [rows][heads][headDim] in float64 */
  readonly expected: Float64Array
  /** the words of `buffers.cache` */
  readonly cache: CacheImage
}

/** Rows that the buffers hold beyond those of the pass. */
export const SPARE_ROWS = 2

export function attentionCase(sizes: AttentionSizes, requests: readonly RaggedRequest[], seed: number): AttentionCase {
  const maxBlocks = Math.max(...requests.map(({ context }) => cdiv(context, BLOCK))) + 1
  const totalBlocks = requests.reduce((sum, { context }) => sum + cdiv(context, BLOCK), 0) + 1
  const shape: AttentionShape = { window: undefined, softcap: undefined, ...sizes, maxBlocks, totalBlocks }
  const rows = requests.reduce((sum, request) => sum + request.rows, 0)
  const positions = new Uint32Array(rows + SPARE_ROWS)
  const tableRows = new Uint32Array(rows + SPARE_ROWS)
  const blockTable = shuffledTable(requests, maxBlocks, totalBlocks, seed)
  // Table rows are not the order of the batch.
  const tableRowOf = (index: number) => requests.length - 1 - index
  let row = 0
  requests.forEach((request, index) => {
    for (let i = 0; i < request.rows; i++) {
      positions[row] = request.context - request.rows + i
      tableRows[row] = tableRowOf(index)
      row++
    }
  })
  const cache = new CacheImage(shape)
  requests.forEach(({ context, rows }, index) => {
    // What no row of the request sees stays NaN.
    for (let key = firstVisible(shape, context - rows); key < context; key++) {
      const block = at(blockTable, tableRowOf(index) * maxBlocks + Math.floor(key / BLOCK))
      cache.fill(block, key % BLOCK, seed + 7919 * (index + 1) + key)
    }
  })
  const q = randomFloats(seed + 1, (rows + SPARE_ROWS) * shape.heads * shape.headDim, 0.5)
  const buffers = { positions, tableRows, blockTable, cache: cache.words(), q }
  return { shape, requests, rows, buffers, expected: reference(shape, rows, buffers, cache), cache }
}

/** The first key that the row at `position` sees. */
export function firstVisible({ window }: Pick<AttentionShape, 'window'>, position: number): number {
  return window === undefined ? 0 : Math.max(0, position - window + 1)
}

/** Rows `first`…`first + count - 1` of a request of the batch, as a batch of their own. */
export function rowsOf(data: AttentionCase, index: number, first: number, count: number): AttentionCase {
  const { requests, buffers, shape } = data
  const { rows, context } = at(requests, index)
  const row = requests.slice(0, index).reduce((sum, request) => sum + request.rows, first)
  const width = shape.heads * shape.headDim
  return {
    ...data,
    requests: [{ rows: count, context: context - rows + first + count }],
    rows: count,
    buffers: {
      ...buffers,
      positions: buffers.positions.slice(row),
      tableRows: buffers.tableRows.slice(row),
      q: buffers.q.slice(row * width),
      cache: data.cache.words(),
    },
    expected: data.expected.slice(row * width, (row + count) * width),
  }
}

/** Makes the keys and values of a request's tokens before `position` NaN. */
export function forget({ shape, requests, buffers, cache }: AttentionCase, index: number, position: number): void {
  for (let key = 0; key < position; key++) {
    const entry = (requests.length - 1 - index) * shape.maxBlocks + Math.floor(key / BLOCK)
    cache.clear(at(buffers.blockTable, entry), key % BLOCK)
  }
}

/** Distinct blocks in random order; entries past a request's last block name the block that is all NaN. */
function shuffledTable(
  requests: readonly RaggedRequest[],
  maxBlocks: number,
  totalBlocks: number,
  seed: number,
): Uint32Array {
  const random = seededRandom(seed)
  const free = Array.from({ length: totalBlocks - 1 }, (_, block) => block)
  for (let i = free.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    ;[free[i], free[j]] = [at(free, j), at(free, i)]
  }
  const table = new Uint32Array(requests.length * maxBlocks).fill(totalBlocks - 1)
  requests.forEach(({ context }, index) => {
    for (let i = 0; i < cdiv(context, BLOCK); i++) {
      table[(requests.length - 1 - index) * maxBlocks + i] = free.pop() ?? 0
    }
  })
  return table
}

/** The cache of one layer on the host; every slot is NaN until it is filled. */
export class CacheImage {
  readonly #shape: Pick<AttentionShape, 'kvHeads' | 'headDim' | 'totalBlocks' | 'kvDtype'>
  readonly #values: Float32Array

  constructor(shape: Pick<AttentionShape, 'kvHeads' | 'headDim' | 'totalBlocks' | 'kvDtype'>) {
    this.#shape = shape
    this.#values = new Float32Array(2 * shape.totalBlocks * BLOCK * shape.kvHeads * shape.headDim).fill(Number.NaN)
  }

  /** Index of the first value of a token's key (half 0) or value (half 1). */
  index(half: 0 | 1, block: number, kvHead: number, offset: number): number {
    const { kvHeads, headDim, totalBlocks } = this.#shape
    return (((half * totalBlocks + block) * kvHeads + kvHead) * BLOCK + offset) * headDim
  }

  value(index: number): number {
    return at(this.#values, index)
  }

  fill(block: number, offset: number, seed: number): void {
    const { kvHeads, headDim, kvDtype } = this.#shape
    const values = randomFloats(seed, 2 * kvHeads * headDim, 2)
    for (let part = 0; part < 2 * kvHeads; part++) {
      const first = this.index(part < kvHeads ? 0 : 1, block, part % kvHeads, offset)
      for (let d = 0; d < headDim; d++) this.#values[first + d] = cached(at(values, part * headDim + d), kvDtype)
    }
  }

  /** Makes a slot NaN again. */
  clear(block: number, offset: number): void {
    const { kvHeads, headDim } = this.#shape
    for (let part = 0; part < 2 * kvHeads; part++) {
      const first = this.index(part < kvHeads ? 0 : 1, block, part % kvHeads, offset)
      this.#values.fill(Number.NaN, first, first + headDim)
    }
  }

  /** As the device holds it. */
  words(): Words {
    return this.#shape.kvDtype === 'f32' ? this.#values : Uint16Array.from(this.#values, f16Bits)
  }
}

/** A value as the cache keeps it. */
export function cached(value: number, dtype: KvDtype): number {
  return dtype === 'f32' ? Math.fround(value) : f16Value(f16Bits(value))
}

/** The nearest float16 (ties to even), as bits. */
export function f16Bits(value: number): number {
  if (Number.isNaN(value)) return 0x7e00
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0
  const size = Math.abs(value)
  const exponent = Math.max(Math.floor(Math.log2(size)), -14)
  const scaled = size * 2 ** (10 - exponent)
  const floor = Math.floor(scaled)
  const rest = scaled - floor
  const rounded = rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor
  return sign | (size === 0 ? 0 : rounded + (exponent + 14) * 1024)
}

export function f16Value(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 31
  const fraction = bits & 1023
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25))
}

function reference(
  shape: AttentionShape,
  rows: number,
  { positions, tableRows, blockTable, q }: Omit<AttentionCase['buffers'], 'cache'>,
  cache: CacheImage,
): Float64Array {
  const { heads, kvHeads, headDim, maxBlocks, softcap } = shape
  const out = new Float64Array(rows * heads * headDim)
  for (let row = 0; row < rows; row++) {
    for (let head = 0; head < heads; head++) {
      const first = (row * heads + head) * headDim
      const kvHead = Math.floor(head / (heads / kvHeads))
      const place = (half: 0 | 1, key: number) => {
        const block = at(blockTable, at(tableRows, row) * maxBlocks + Math.floor(key / BLOCK))
        return cache.index(half, block, kvHead, key % BLOCK)
      }
      const begin = firstVisible(shape, at(positions, row))
      const scores = Array.from({ length: at(positions, row) + 1 - begin }, (_, index) => {
        const k = place(0, begin + index)
        let sum = 0
        for (let d = 0; d < headDim; d++) sum += at(q, first + d) * cache.value(k + d)
        return softcap === undefined ? sum : softcap * Math.tanh(sum / softcap)
      })
      const largest = Math.max(...scores)
      const weights = scores.map((score) => Math.exp(score - largest))
      const total = weights.reduce((a, b) => a + b, 0)
      weights.forEach((weight, index) => {
        const v = place(1, begin + index)
        for (let d = 0; d < headDim; d++) out[first + d] = at(out, first + d) + (weight / total) * cache.value(v + d)
      })
    }
  }
  return out
}
