import { describe, expect, test } from 'vitest'
import { kvBytes } from '../../../src/kernels/kvCache.ts'
import { type RopeKvShape, ropeKv } from '../../../src/kernels/ropeKv.ts'
import { ropeKvSerial } from '../../../src/kernels/ropeKvSerial.ts'
import { ropeFrequencies } from '../../../src/models/rope.ts'
import { at } from '../../../src/util/math.ts'
import { ropeTable } from '../../../src/util/ropeTable.ts'
import { CacheImage, f16Value } from '../../helpers/attentionCase.ts'
import { expectAllClose, expectPoison, POISON, randomFloats, runVariants } from '../../helpers/kernelHarness.ts'

const NO_SLOT = 0xffffffff
const THETA = 10000
const BLOCK = 16
const EPS = 1e-6
const ROWS = 7
const MAX_POSITIONS = 2000
/** of each row; the third and the sixth row write nothing */
const POSITIONS = [0, 1, 17, 1999, 512, 63, 1024]
const SLOTS = [5, 16, NO_SLOT, 79, 31, NO_SLOT, 32]

/** What most models have: all dims rotated, one table. */
function plain(headDim: number) {
  return { headDim, rotaryDims: headDim, queryScale: 1 / Math.sqrt(headDim), queryTable: 0, totalBlocks: 5 }
}

const SHAPES: readonly Omit<RopeKvShape, 'eps'>[] = [
  { heads: 4, kvHeads: 2, ...plain(64), writeQuery: true, qkNorm: true, kvDtype: 'f16' },
  { heads: 4, kvHeads: 2, ...plain(64), writeQuery: false, qkNorm: true, kvDtype: 'f32' },
  { heads: 2, kvHeads: 1, ...plain(32), writeQuery: true, qkNorm: true, kvDtype: 'f32' },
  { heads: 7, kvHeads: 1, ...plain(128), writeQuery: true, qkNorm: true, kvDtype: 'f16' },
  { heads: 3, kvHeads: 3, ...plain(40), writeQuery: false, qkNorm: true, kvDtype: 'f16' },
  { heads: 4, kvHeads: 2, ...plain(64), writeQuery: true, qkNorm: false, kvDtype: 'f16' },
  { heads: 7, kvHeads: 1, ...plain(40), writeQuery: true, qkNorm: false, kvDtype: 'f32' },
  { heads: 3, kvHeads: 3, ...plain(32), writeQuery: false, qkNorm: false, kvDtype: 'f32' },
  // part of a head is rotated, or none
  { heads: 3, kvHeads: 1, ...plain(128), rotaryDims: 96, writeQuery: true, qkNorm: false, kvDtype: 'f16' },
  { heads: 2, kvHeads: 2, ...plain(40), rotaryDims: 8, writeQuery: true, qkNorm: true, kvDtype: 'f32' },
  { heads: 2, kvHeads: 1, ...plain(256), rotaryDims: 64, writeQuery: false, qkNorm: true, kvDtype: 'f16' },
  { heads: 4, kvHeads: 2, ...plain(16), rotaryDims: 0, writeQuery: true, qkNorm: false, kvDtype: 'f32' },
  { heads: 2, kvHeads: 1, ...plain(32), rotaryDims: 0, writeQuery: true, qkNorm: true, kvDtype: 'f16' },
  // a scale of the model's own, and a table of queries
  { heads: 4, kvHeads: 2, ...plain(64), queryScale: 0.0078125, writeQuery: true, qkNorm: false, kvDtype: 'f16' },
  { heads: 2, kvHeads: 1, ...plain(32), queryTable: MAX_POSITIONS, writeQuery: true, qkNorm: false, kvDtype: 'f32' },
]

const TITLE = '$heads and $kvHeads heads of $headDim, $rotaryDims rotated, $kvDtype, queries $writeQuery, norm $qkNorm'

describe.each(SHAPES)(TITLE, (shape) => {
  const { rotaryDims, queryScale, queryTable, heads, kvHeads, headDim, writeQuery, qkNorm, totalBlocks, kvDtype } =
    shape
  const queryHeads = writeQuery ? heads : 0
  const width = (queryHeads + 2 * kvHeads) * headDim
  const seed = heads * 100 + headDim
  const qkv = randomFloats(seed, (ROWS + 1) * width, 3)
  const qNorm = randomFloats(seed + 1, headDim, 2)
  const kNorm = randomFloats(seed + 2, headDim, 2)
  const cacheWords = kvBytes(totalBlocks, kvHeads, headDim, kvDtype) / 4

  /** A head of a row after its norm, if any, and rotation, in float64; what is rotated is multiplied by `factor`. */
  function rotated(row: number, head: number, weight: Float32Array, factor = 1): number[] {
    const x = Array.from({ length: headDim }, (_, d) => at(qkv, row * width + head * headDim + d))
    const scale = 1 / Math.sqrt(x.reduce((sum, v) => sum + v * v, 0) / headDim + EPS)
    const normed = x.map((v, d) => (qkNorm ? v * scale * at(weight, d) : v))
    const half = rotaryDims / 2
    return normed.map((v, d) => {
      if (d >= rotaryDims) return v
      const angle = at(POSITIONS, row) * THETA ** (-(d % half) / half)
      const other = at(normed, (d + half) % rotaryDims)
      return factor * (v * Math.cos(angle) + (d < half ? -other : other) * Math.sin(angle))
    })
  }

  test('both variants give the reference and the same bits, and write nothing else', async () => {
    const written = await runVariants([ropeKv, ropeKvSerial], {
      shape: { ...shape, eps: EPS },
      pass: { rows: ROWS },
      buffers: {
        positions: Uint32Array.from([...POSITIONS, 3]),
        slots: Uint32Array.from([...SLOTS, 0]),
        rope: ropeTables(rotaryDims, queryTable > 0),
        qkv,
        qNorm: qkNorm ? qNorm : headDim,
        kNorm: qkNorm ? kNorm : headDim,
        cache: cacheWords,
        q: (ROWS + 1) * heads * headDim,
      },
    })

    const queries: number[] = []
    for (let row = 0; row < ROWS; row++) {
      for (let head = 0; head < queryHeads; head++) {
        const factor = queryTable > 0 ? queryFactor(at(POSITIONS, row)) : 1
        queries.push(...rotated(row, head, qNorm, factor).map((v) => v * queryScale))
      }
    }
    expectAllClose(written.q?.f32.subarray(0, queries.length) ?? [], queries, { absolute: 1e-5, what: 'q' })
    expectPoison(written.q, queries.length)

    const image = new CacheImage(shape)
    const touched = new Set<number>()
    const actual = cacheValues(written.cache?.u32 ?? new Uint32Array(), kvDtype)
    const rounding = kvDtype === 'f16' ? 2 ** -10 : 0
    for (let row = 0; row < ROWS; row++) {
      const slot = at(SLOTS, row)
      if (slot === NO_SLOT) continue
      for (let head = 0; head < 2 * kvHeads; head++) {
        const half = head < kvHeads ? 0 : 1
        const first = image.index(half, Math.floor(slot / BLOCK), head % kvHeads, slot % BLOCK)
        const start = row * width + (queryHeads + head) * headDim
        const expected = half === 0 ? rotated(row, queryHeads + head, kNorm) : qkv.subarray(start, start + headDim)
        const what = `row ${row} head ${head}`
        const tolerance = { absolute: 1e-5, relative: 1e-5 + rounding, what }
        expectAllClose(actual.subarray(first, first + headDim), expected, tolerance)
        for (let d = 0; d < headDim; d++) touched.add(first + d)
      }
    }
    const perWord = kvDtype === 'f16' ? 2 : 1
    const untouched = [...actual.keys()].filter((i) => !touched.has(i)).map((i) => Math.floor(i / perWord))
    expect(untouched.every((word) => written.cache?.u32[word] === POISON)).toBe(true)
  })
})

/** As ministral3 scales queries by their position. */
function queryFactor(position: number): number {
  return 1 + 0.4 * Math.log(1 + Math.floor(position / 100))
}

/** The table of keys, and behind it that of queries. */
function ropeTables(dims: number, ofQueries: boolean): Float32Array {
  const table = ropeTable(frequencies(THETA, dims), MAX_POSITIONS)
  if (!ofQueries) return table
  return Float32Array.from([...table, ...ropeTable(frequencies(THETA, dims), MAX_POSITIONS, queryFactor)])
}

function frequencies(theta: number, dims: number): readonly number[] {
  return ropeFrequencies({ dims, theta, scaling: undefined }, MAX_POSITIONS).frequencies
}

test('dims that the table cannot hold are refused', () => {
  const shape = {
    heads: 1,
    kvHeads: 1,
    ...plain(32),
    eps: EPS,
    writeQuery: true,
    qkNorm: false,
    kvDtype: 'f32',
  } as const
  for (const rotaryDims of [4, 12, 40]) {
    expect(() => ropeKv.specialise({ ...shape, rotaryDims })).toThrow(/dims of a head are rotated/)
  }
})

test('the table is the float64 angle, rounded once', () => {
  const table = ropeTable(frequencies(1e6, 8), 40000)
  expect(table.length).toBe(40000 * 8)
  expect([table[0], table[1]]).toEqual([1, 0])
  const angle = 39999 * 1e6 ** (-2 / 8)
  expect(table[(39999 * 4 + 1) * 2]).toBe(Math.fround(Math.cos(angle)))
  expect(table[(39999 * 4 + 1) * 2 + 1]).toBe(Math.fround(Math.sin(angle)))
})

function cacheValues(words: Uint32Array, dtype: 'f16' | 'f32'): Float32Array {
  if (dtype === 'f32') return new Float32Array(words.buffer)
  return Float32Array.from(new Uint16Array(words.buffer), f16Value)
}
