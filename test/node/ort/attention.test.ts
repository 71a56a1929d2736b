/** The attention of the WebAssembly backend against float64: norm, rotation, cache, softmax, and its errors. */

import { describe, expect, it, onTestFinished } from 'vitest'
import { BLOCK_SIZE } from '../../../src/core/cost.ts'
import { AttentionMemory } from '../../../src/ort/attentionMemory.ts'
import { attentionPlan, kvName, SCRATCH } from '../../../src/ort/attentionPlan.ts'
import { at, sum } from '../../../src/util/math.ts'
import { AttentionReference } from '../../helpers/attentionReference.ts'
import {
  AttentionRig,
  batchOf,
  type Part,
  type RigSizes,
  scatteredBlocks,
  type Tokens,
  tokensOf,
} from '../../helpers/attentionRig.ts'

const HEAD_DIMS = [8, 16, 20, 64, 80, 128, 256]
const GROUPS = [1, 2, 3, 7]

describe.each(HEAD_DIMS)('heads of %i', (headDim) => {
  it.each(GROUPS)('give what float64 gives, %i to a KV head, in a ragged batch', async (group) => {
    const rig = await AttentionRig.create({ heads: 2 * group, kvHeads: 2, headDim })
    const blocks = scatteredBlocks(rig.geometry.totalBlocks, headDim + group)
    const parts = ragged(rig, blocks, headDim * 31 + group)
    const outputs = rig.run(parts)
    const reference = new AttentionReference(rig)
    for (const [index, { tokens, position, rows }] of parts.entries()) {
      for (let i = 0; i < rows; i += i < rows - 3 ? 15 : 1) {
        const row = at(outputs, index).subarray(i * rig.outWidth, (i + 1) * rig.outWidth)
        expectClose(row, reference.row(tokens, position + i), 1e-5)
      }
    }
  })
})

/** A batch whose requests have their contexts in the cache: decode rows, drafts, chunks, and one that shares another's blocks. */
function ragged(rig: AttentionRig, blocks: (tokens: number) => Int32Array, seed: number): Part[] {
  const first = tokensOf(seed, blocks(257))
  const shared: Tokens = { ...first, shared: 32, ownSeed: seed + 9, blocks: first.blocks.slice() }
  shared.blocks.set(blocks(64 - 32), 2)
  const parts: Part[] = [
    { tokens: tokensOf(seed + 1, blocks(1)), position: 0, rows: 1 },
    { tokens: first, position: 256, rows: 1 },
    { tokens: shared, position: 40, rows: 9 },
    { tokens: tokensOf(seed + 2, blocks(34)), position: 30, rows: 4 },
    { tokens: tokensOf(seed + 3, blocks(17)), position: 0, rows: 17 },
    { tokens: tokensOf(seed + 4, blocks(90)), position: 59, rows: 31 },
    { tokens: tokensOf(seed + 5, blocks(16)), position: 15, rows: 1 },
  ]
  for (const { tokens, position } of parts) rig.runAll(tokens, tokens.shared, position)
  return parts
}

describe('attention', () => {
  it('is right at every length of context from 1 to 600', async () => {
    const rig = await AttentionRig.create({ heads: 4, kvHeads: 2, headDim: 16 })
    const tokens = tokensOf(5, scatteredBlocks(rig.geometry.totalBlocks, 5)(600))
    const reference = new AttentionReference(rig)
    for (let position = 0; position < 600; position++) {
      const [row] = rig.run([{ tokens, position, rows: 1 }])
      expectClose(row, reference.row(tokens, position), 1e-5)
    }
  })

  it('works without QK-norm, and each cache has its own norms, keys and values', async () => {
    for (const headNorm of [false, true]) {
      const rig = await AttentionRig.create({ heads: 6, kvHeads: 3, headDim: 20, headNorm, caches: 3 })
      const blocks = scatteredBlocks(rig.geometry.totalBlocks, 1)(40)
      for (const cache of [0, 1, 2]) rig.run([{ tokens: tokensOf(cache, blocks), position: 0, rows: 39 }], cache)
      for (const cache of [2, 0, 1]) {
        const tokens = tokensOf(cache, blocks)
        const [row] = rig.run([{ tokens, position: 39, rows: 1 }], cache)
        expectClose(row, new AttentionReference(rig, cache).row(tokens, 39), 1e-5)
      }
    }
  })

  it('of equal scores is the mean of the values', async () => {
    const rig = await scoreRig()
    const values = Array.from({ length: 133 }, (_, key) => (key % 7) - 2)
    const out = rig.attend(
      values.map(() => 3.5),
      (key) => Array(16).fill(at(values, key)),
    )
    for (const value of out) expect(value).toBeCloseTo(sum(values) / 133, 6)
  })

  it('goes to the largest of scores that are far apart, exactly', async () => {
    const rig = await scoreRig()
    const scores = Array.from({ length: 77 }, (_, key) => -1e5 + 1000 * key)
    scores[40] = 3e37
    const out = rig.attend(scores, (key) => Array.from({ length: 16 }, (_, d) => key + d / 16))
    expect([...out]).toEqual(Array.from({ length: 16 }, (_, d) => 40 + d / 16))
    const low = rig.attend(
      scores.map((score) => score - 3e37),
      (key) => Array(16).fill(key),
    )
    expect([...low]).toEqual(Array(16).fill(40))
  })

  it('of a NaN, of +∞ and of nothing but -∞ is NaN, not a number that looks right', async () => {
    const rig = await scoreRig()
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      for (const place of [0, 9, 18]) {
        const scores = Array.from({ length: 19 }, (_, key) => (key === place ? bad : key / 8))
        expect([...rig.attend(scores, () => Array(16).fill(1))]).toEqual(Array(16).fill(Number.NaN))
      }
    }
    const none = Array(19).fill(Number.NEGATIVE_INFINITY)
    expect([...rig.attend(none, () => Array(16).fill(1))]).toEqual(Array(16).fill(Number.NaN))
  })

  it('has an exponential with a relative error below 2^-22, and 0 below -87', async () => {
    const rig = await scoreRig()
    let worst = 0
    for (let turn = 0; turn < 300; turn++) {
      const scores = Array.from({ length: 16 }, (_, key) => (key === 0 ? 0 : -(turn * 15 + key - 1) * 0.02))
      const exact = scores.map(Math.fround)
      const out = rig.attend(exact, (key) => Array.from({ length: 16 }, (_, d) => Number(d === key)))
      // Element d is the weight of key d over their sum; that of key 0 is 1 over their sum.
      for (let key = 1; key < 16; key++) {
        const weight = at(out, key) / at(out, 0)
        if (at(exact, key) <= -87) expect(weight).toBe(0)
        else worst = Math.max(worst, Math.abs(weight / Math.exp(at(exact, key)) - 1))
      }
    }
    // The bound includes the roundings of the two outputs that are divided here.
    expect(worst).toBeGreaterThan(0)
    expect(worst).toBeLessThan(2 ** -22)
  })
})

describe('the write of K and V', () => {
  it('normalises and rotates in place and stores K by element and V by key, at the slots alone', async () => {
    const rig = await AttentionRig.create({ heads: 4, kvHeads: 2, headDim: 20, totalBlocks: 6 })
    const { headDim, kvHeads } = rig.shape
    const tokens = tokensOf(3, Int32Array.of(4, 1, 2))
    const parts = [
      { tokens, position: 13, rows: 7 },
      { tokens: tokensOf(4, Int32Array.of(5)), position: 2, rows: 3, noSlots: true },
    ]
    rig.attention.writeKv(0, rig.input(parts), true)
    const reference = new AttentionReference(rig)
    const cache = rig.attention.memory.floats(kvName(0)).slice()
    const valuesFrom = cache.length / 2
    let row = 0
    for (const { tokens, position, rows } of parts) {
      for (let i = position; i < position + rows; i++, row++) {
        const expected = reference.prepared(tokens, i)
        expectClose(rig.attention.qkv.subarray(row * rig.width, (row + 1) * rig.width), expected, 1e-6)
      }
    }
    for (let i = 13; i < 20; i++) {
      const block = at(tokens.blocks, Math.floor(i / BLOCK_SIZE))
      const stored = rig.attention.qkv.subarray((i - 13) * rig.width + rig.outWidth, (i - 12) * rig.width)
      for (let head = 0; head < kvHeads; head++) {
        for (let d = 0; d < headDim; d++) {
          const inBlock = (block * kvHeads + head) * headDim * BLOCK_SIZE
          const key = inBlock + d * BLOCK_SIZE + (i % BLOCK_SIZE)
          const value = valuesFrom + inBlock + (i % BLOCK_SIZE) * headDim + d
          expect(cache[key]).toBe(stored[head * headDim + d])
          expect(cache[value]).toBe(stored[(kvHeads + head) * headDim + d])
          cache[key] = Number.NaN
          cache[value] = Number.NaN
        }
      }
    }
    expect(cache.every(Number.isNaN)).toBe(true)
  })

  it('leaves queries as they are where none are wanted', async () => {
    const rig = await AttentionRig.create({ heads: 4, kvHeads: 2, headDim: 16 })
    const batch = rig.input([{ tokens: tokensOf(3, Int32Array.of(0)), position: 3, rows: 2 }])
    const before = rig.attention.qkv.slice()
    rig.attention.writeKv(0, batch, false)
    for (const row of [0, 1]) {
      const [first, keys, values, end] = [0, 64, 96, 128].map((column) => row * rig.width + column)
      const same = (from?: number, to?: number) =>
        expect([...rig.attention.qkv.subarray(from, to)]).toEqual([...before.subarray(from, to)])
      same(first, keys)
      expect(() => same(keys, values)).toThrow()
      same(values, end)
    }
  })
})

describe('memory', () => {
  it('is what the plan says, KV caches and all', async () => {
    const { attention, shape, geometry } = await AttentionRig.create({ heads: 6, kvHeads: 2, headDim: 20, caches: 3 })
    const plan = attentionPlan(shape, geometry)
    const { buffers, memory } = attention.memory
    expect([...buffers.values()].map(({ name, bytes }) => ({ name, bytes }))).toEqual(plan)
    const planned = sum(plan.map(({ bytes }) => bytes))
    expect(memory.buffer.byteLength).toBeGreaterThanOrEqual(planned)
    expect(memory.buffer.byteLength).toBeLessThan(planned + 2 * 65536)
    const kv = plan.filter(({ name }) => name.startsWith('kv.'))
    expect(kv.map(({ bytes }) => bytes)).toEqual(Array(3).fill(2 * 48 * BLOCK_SIZE * 2 * 20 * 4))
    expect(() => memory.grow(1)).toThrow(RangeError)
  })

  it('beyond 4 GiB is LIMIT_EXCEEDED, and what the browser does not have is OUT_OF_MEMORY; both name kvCacheTokens', () => {
    const refusal = (code: string) =>
      expect.objectContaining({ code, message: expect.stringContaining('lower kvCacheTokens') })
    expect(() => new AttentionMemory([{ name: 'kv.0', bytes: 2 ** 32 }])).toThrow(refusal('LIMIT_EXCEEDED'))
    const { Memory } = WebAssembly
    onTestFinished(() => {
      WebAssembly.Memory = Memory
    })
    WebAssembly.Memory = class {
      constructor() {
        throw new RangeError('could not allocate memory')
      }
    } as unknown as typeof Memory
    expect(() => new AttentionMemory([{ name: 'kv.0', bytes: 1024 }])).toThrow(refusal('OUT_OF_MEMORY'))
  })

  it('holds no more rows than planned: one more is BUDGET_EXCEEDED, and nothing is written', async () => {
    const { attention } = await AttentionRig.create({ heads: 2, kvHeads: 1, headDim: 8, rows: 5 })
    const batch = batchOf([{ tokens: tokensOf(1, Int32Array.of(0)), position: 0, rows: 6 }])
    const before = new Uint8Array(attention.memory.memory.buffer).slice()
    for (const act of [() => attention.writeKv(0, batch, true), () => attention.attend(0, batch)]) {
      expect(act).toThrow(expect.objectContaining({ code: 'BUDGET_EXCEEDED', details: { rows: 6, limit: 5 } }))
    }
    expect(Buffer.compare(before, new Uint8Array(attention.memory.memory.buffer))).toBe(0)
  })

  it('is not addressed outside the pool, the rotation table or a request’s blocks', async () => {
    const { attention } = await AttentionRig.create({
      heads: 2,
      kvHeads: 1,
      headDim: 8,
      totalBlocks: 4,
      maxModelLen: 40,
    })
    const part = (blocks: number[], position: number, rows: number) =>
      batchOf([{ tokens: tokensOf(1, Int32Array.from(blocks)), position, rows }])
    expect(() => attention.attend(0, part([0, 4], 15, 2))).toThrow('invariant')
    expect(() => attention.attend(0, part([0, -1], 15, 2))).toThrow('invariant')
    expect(() => attention.attend(0, { ...part([0, 1], 16, 1), runs: part([0], 16, 1).runs })).toThrow('invariant')
    expect(() => attention.attend(0, part([0, 1, 2, 3], 48, 1))).toThrow('invariant')
    expect(() => attention.writeKv(0, part([4], 0, 1), true)).toThrow('invariant')
    expect(() => attention.writeKv(0, part([0, 1, 2], 40, 1), true)).toThrow('invariant')
    expect(() => attention.attend(0, { ...part([0], 0, 2), count: 3 })).toThrow('invariant')
    expect(() => attention.attend(0, { ...part([0], 0, 2), count: 1 })).toThrow('invariant')
    expect(() => attention.writeKv(1, part([0], 0, 1), true)).toThrow('invariant')
    const scores = attention.memory.address(SCRATCH)
    expect(attention.memory.memory.buffer.byteLength).toBeGreaterThan(scores)
  })
})

/** One query over keys with given scores: head of 16, so that 1 / √headDim is exact, with the score in element 0 of the key. */
async function scoreRig(changes: Partial<RigSizes> = {}) {
  const { attention } = await AttentionRig.create({ heads: 1, kvHeads: 1, headDim: 16, headNorm: false, ...changes })
  const cache = attention.memory.floats(kvName(0))
  return {
    /** @returns [16] */
    attend(scores: readonly number[], value: (key: number) => readonly number[]): Float32Array {
      const context = scores.length
      const blocks = Int32Array.from({ length: Math.ceil(context / BLOCK_SIZE) }, (_, index) => index)
      cache.fill(Number.NaN)
      scores.forEach((score, key) => {
        const block = Math.floor(key / BLOCK_SIZE) * 16 * BLOCK_SIZE
        for (let d = 0; d < 16; d++) cache[block + d * BLOCK_SIZE + (key % BLOCK_SIZE)] = d === 0 ? score : 0
        cache.set(value(key), cache.length / 2 + block + (key % BLOCK_SIZE) * 16)
      })
      attention.qkv.set([4, ...Array(15).fill(0)])
      attention.out.fill(Number.NaN)
      attention.attend(0, batchOf([{ tokens: tokensOf(0, blocks), position: context - 1, rows: 1 }]))
      return attention.out.slice(0, 16)
    },
  }
}

function expectClose(actual: Float32Array | undefined, expected: Float64Array, tolerance: number): void {
  expect(actual?.length).toBe(expected.length)
  let worst = 0
  expected.forEach((value, index) => {
    const error = Math.abs((actual?.[index] ?? Number.NaN) - value) / Math.max(1, Math.abs(value))
    worst = error >= 0 ? Math.max(worst, error) : Number.POSITIVE_INFINITY
  })
  expect(worst).toBeLessThan(tolerance)
}
