/**
 * The bits of a row of attention depend on its own context alone: not on its batch, its chunk, the function that computed it, its
 * neighbours, its blocks, or what memory held before. And a pass writes where it should.
 */

import { describe, expect, it } from 'vitest'
import { BLOCK_SIZE } from '../../../src/core/cost.ts'
import { kvName, normsName } from '../../../src/ort/attentionPlan.ts'
import { at } from '../../../src/util/math.ts'
import {
  AttentionRig,
  type Part,
  type RigSizes,
  scatteredBlocks,
  type Tokens,
  tableNames,
  tokensOf,
} from '../../helpers/attentionRig.ts'
import { seededRandom } from '../../helpers/random.ts'

/** Heads of every length and groups of every size, with as few KV heads as show a mix-up. */
const SHAPES: readonly RigSizes[] = [8, 16, 20, 64, 80, 128, 256].flatMap((headDim) =>
  [1, 2, 3, 7].map((group) => ({ heads: 2 * group, kvHeads: 2, headDim })),
)

/** Windows shorter than a batch of queries, at the edge of a block and beyond it, with everything else that changes a score. */
const WINDOWED: readonly RigSizes[] = [1, 2, 3, 15, 16, 17, 33].flatMap((window) =>
  [1, 3, 4].map((group) => ({
    ...{ heads: 2 * group, kvHeads: 2, headDim: 20 + 12 * group },
    ...{ headNorm: window % 2 === 0, attentionSoftcap: window > 2 ? 2 : undefined },
    queryScaling: { beta: 0.3, originalPositions: 7 },
    ropes: [{ dims: 8, theta: 100, scaling: undefined }],
    layers: [{ cache: 'paged', window, rope: group === 4 ? undefined : 0 }],
  })),
)

/** Lengths of the requests of a batch; together they have more rows than a batch holds. */
const LENGTHS = [5, 37, 48, 70]

describe.each([...SHAPES, ...WINDOWED])('rows of $heads heads of $headDim, layers $layers', (sizes) => {
  it('have the bits of a row computed alone, in any batch and any chunks', async () => {
    const alone = await aloneBits(sizes)
    const random = seededRandom(sizes.headDim * 10 + sizes.heads)
    for (let turn = 0; turn < 3; turn++) {
      const rig = await AttentionRig.create({ ...sizes, rows: 40 })
      const blocks = scatteredBlocks(rig.geometry.totalBlocks, turn)
      const requests = LENGTHS.map((length, seed) => ({ tokens: tokensOf(seed, blocks(length)), length, done: 0 }))
      while (requests.some(({ done, length }) => done < length)) {
        const parts = randomParts(requests, 40, random)
        for (const [index, output] of rig.run(parts).entries()) {
          const { tokens, position } = at(parts, index)
          expectRows(output, at(alone, tokens.seed), position, rig)
        }
      }
    }
  })
})

describe('the bits of a row', () => {
  const heads = [1, 2, 3, 4, 5, 6, 7].map((group) => ({ heads: group, kvHeads: 1, headDim: 20 }))
  const windows = WINDOWED.map((sizes) => ({ ...sizes, kvHeads: 1 }))
  it.each([...heads, ...windows])('are the same in chunks of every length: $heads, $layers', async (sizes) => {
    const rig = await AttentionRig.create(sizes)
    const blocks = scatteredBlocks(rig.geometry.totalBlocks, sizes.heads)(50)
    const tokens = tokensOf(1, blocks)
    const single = new Float32Array(50 * rig.outWidth)
    for (let i = 0; i < 50; i++) single.set(at(rig.run([{ tokens, position: i, rows: 1 }]), 0), i * rig.outWidth)
    for (let chunk = 2; chunk <= 23; chunk++) {
      for (let position = 0; position < 50; position += chunk) {
        const [output] = rig.run([{ tokens, position, rows: Math.min(chunk, 50 - position) }])
        expectRows(output, single, position, rig)
      }
    }
  })

  it('are the same where requests share blocks', async () => {
    const rig = await AttentionRig.create({ heads: 4, kvHeads: 2, headDim: 16 })
    const blocks = scatteredBlocks(rig.geometry.totalBlocks, 3)
    const first = tokensOf(1, blocks(60))
    const own: Tokens = { seed: 1, shared: 32, ownSeed: 2, blocks: blocks(60) }
    const alone = rig.runAll(own, 0, 60)
    const sharing: Tokens = { ...own, blocks: Int32Array.of(...first.blocks.subarray(0, 2), ...blocks(28)) }
    rig.runAll(first, 0, 40)
    const [, output] = rig.run([
      { tokens: first, position: 40, rows: 20 },
      { tokens: sharing, position: 32, rows: 28 },
    ])
    expectRows(output, alone, 32, rig)
  })

  it('do not see a NaN in a later row of the chunk, in another request, or in another KV head', async () => {
    const sizes = { heads: 6, kvHeads: 2, headDim: 16 }
    const rig = await AttentionRig.create(sizes)
    const blocks = scatteredBlocks(rig.geometry.totalBlocks, 4)
    const [a, b] = [tokensOf(1, blocks(40)), tokensOf(2, blocks(40))]
    const parts: Part[] = [
      { tokens: a, position: 0, rows: 23 },
      { tokens: b, position: 0, rows: 23 },
    ]
    const clean = rig.run(parts)
    for (let bad = 0; bad < 23; bad++) {
      const batch = rig.input(parts)
      // All of the row but the second KV head and its queries.
      const row = rig.attention.qkv.subarray(bad * rig.width, (bad + 1) * rig.width)
      for (const [from, heads] of [[0, 3] as const, [6, 1] as const, [8, 1] as const]) {
        row.fill(Number.NaN, from * 16, (from + heads) * 16)
      }
      rig.attention.out.fill(0)
      rig.attention.writeKv(0, batch, true)
      rig.attention.attend(0, batch)
      expectRows(rig.outRows(0, bad), at(clean, 0), 0, rig)
      expectRows(rig.outRows(23, 23), at(clean, 1), 0, rig)
      for (let i = bad; i < 23; i++) {
        const [output, before] = [rig.outRows(i, 1), at(clean, 0).subarray(i * rig.outWidth, (i + 1) * rig.outWidth)]
        expect(output.subarray(0, 48).every(Number.isNaN)).toBe(true)
        expect([...output.subarray(48)]).toEqual([...before.subarray(48)])
      }
    }
  })

  it('do not depend on what a reused block held: a long request’s NaNs are not seen by a short one', async () => {
    const rig = await AttentionRig.create({ heads: 2, kvHeads: 2, headDim: 8 })
    const tokens = tokensOf(1, Int32Array.of(3, 0))
    const fresh = rig.runAll(tokens, 0, 30)
    for (const stale of [0, Number.NaN, Number.POSITIVE_INFINITY, -1e38]) {
      rig.attention.memory.floats(kvName(0)).fill(stale)
      for (let position = 0; position < 30; position += 5) {
        expectRows(rig.run([{ tokens, position, rows: 5 }])[0], fresh, position, rig)
      }
    }
  })
})

describe('a batch', () => {
  it.each(SHAPES)('of $heads heads of $headDim writes to no word outside its buffers and slots', async (sizes) => {
    const rig = await AttentionRig.create({ ...sizes, rows: 11, totalBlocks: 5, maxModelLen: 64, caches: 2 })
    const tokens = tokensOf(1, Int32Array.of(1, 3, 2, 4))
    rig.runAll(tokens, 0, 53)
    const words = new Uint32Array(rig.attention.memory.memory.buffer)
    const guarded = guardedWords(rig)
    const before = words.slice()
    rig.run([{ tokens, position: 53, rows: 11 }])
    let changed = 0
    for (const [index, word] of words.entries()) {
      if (word === before[index] || guarded[index] === 0) continue
      changed++
      const slot = slotOf(index, rig)
      const position = tokens.blocks.indexOf(Math.floor(slot / BLOCK_SIZE)) * BLOCK_SIZE + (slot % BLOCK_SIZE)
      if (position < 53 || position >= 64) throw new Error(`word ${index} changed, slot ${slot}`)
    }
    expect(changed).toBe(11 * 2 * rig.shape.kvHeads * rig.shape.headDim)
  })
})

/** 1 for words that a pass over cache 0 may write at its slots only, or not at all. Fills those outside buffers with a pattern. */
function guardedWords(rig: AttentionRig): Uint8Array {
  const { memory, buffers } = rig.attention.memory
  const words = new Uint32Array(memory.buffer)
  const guarded = new Uint8Array(words.length).fill(1)
  const inputs = [...tableNames(rig.shape), ...[0, 1].flatMap((cache) => [normsName(cache), kvName(cache)])]
  let end = 0
  for (const { name, address, bytes } of buffers.values()) {
    words.fill(0xa5a5a5a5, end, address / 4)
    end = (address + bytes) / 4
    if (!inputs.includes(name)) guarded.fill(0, address / 4, end)
  }
  words.fill(0xa5a5a5a5, end)
  return guarded
}

/** The slot of cache 0 that a word of memory belongs to; -1: none. */
function slotOf(index: number, rig: AttentionRig): number {
  const { kvHeads, headDim } = rig.shape
  const word = index - rig.attention.memory.address(kvName(0)) / 4
  const blockWords = kvHeads * headDim * BLOCK_SIZE
  const half = rig.geometry.totalBlocks * blockWords
  if (word < 0 || word >= 2 * half) return -1
  const offset = word < half ? word % BLOCK_SIZE : Math.floor(word / headDim) % BLOCK_SIZE
  return Math.floor((word % half) / blockWords) * BLOCK_SIZE + offset
}

/** The rows of each request of LENGTHS, computed one at a time with nothing beside them. */
async function aloneBits(sizes: RigSizes): Promise<Float32Array[]> {
  return Promise.all(
    LENGTHS.map(async (length, seed) => {
      const rig = await AttentionRig.create({ ...sizes, rows: 1, totalBlocks: 5, maxModelLen: 80 })
      return rig.runAll(tokensOf(seed, Int32Array.of(0, 1, 2, 3, 4)), 0, length)
    }),
  )
}

interface Progress {
  readonly tokens: Tokens
  readonly length: number
  done: number
}

/** The next rows of some of the requests, in random order; at most `limit` together. */
function randomParts(requests: Progress[], limit: number, random: () => number): Part[] {
  const parts: Part[] = []
  let left = limit
  for (const request of [...requests].sort(() => random() - 0.5)) {
    const most = Math.min(left, request.length - request.done)
    if (most === 0 || random() < 0.2) continue
    const rows = random() < 0.4 ? 1 : 1 + Math.floor(random() * most)
    parts.push({ tokens: request.tokens, position: request.done, rows })
    request.done += rows
    left -= rows
  }
  return parts
}

/** Fails unless rows from `position` on of `all` have these bits; a NaN anywhere fails. */
function expectRows(actual: Float32Array | undefined, all: Float32Array, position: number, rig: AttentionRig): void {
  if (!actual) throw new Error('no rows')
  const first = position * rig.outWidth
  const expected = all.subarray(first, first + actual.length)
  expect(expected.length).toBe(actual.length)
  for (let i = 0; i < actual.length; i++) {
    if (Object.is(actual[i], expected[i]) && !Number.isNaN(actual[i])) continue
    throw new Error(
      `row ${Math.floor(i / rig.outWidth)}, value ${i % rig.outWidth}: ${actual[i]}, alone ${expected[i]}`,
    )
  }
}
