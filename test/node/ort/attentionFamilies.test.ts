/** What families do differently in attention, against float64: windows, caps, partial rotation and none, tables, scaled queries. */

import { describe, expect, it } from 'vitest'
import { BLOCK_SIZE } from '../../../src/core/cost.ts'
import type { LayerSpec } from '../../../src/models/modelSpec.ts'
import { kvName } from '../../../src/ort/attentionPlan.ts'
import { at } from '../../../src/util/math.ts'
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
import { FULL } from '../../helpers/full.ts'

const layer = (changes: Partial<LayerSpec>): LayerSpec => ({ cache: 'paged', window: undefined, rope: 0, ...changes })

const WINDOWS = [1, 2, 3, 4, 5, 15, 16, 17, 31, 48, 100, 1000]
const HEADS = [
  { heads: 2, kvHeads: 2, headDim: 8 },
  { heads: 6, kvHeads: 2, headDim: 20 },
  { heads: 4, kvHeads: 1, headDim: 64 },
  { heads: 7, kvHeads: 1, headDim: 80 },
]

describe.each(HEADS)('$heads heads of $headDim, $kvHeads of keys', (heads) => {
  it.each(WINDOWS)('see a window of %i keys, and of those before it not even a NaN', async (window) => {
    const rig = await AttentionRig.create({ ...heads, layers: [layer({ window })] })
    const parts = ragged(rig)
    for (const part of parts) forget(rig, part.tokens, part.position - window + 1)
    expectParts(rig, parts)
  })

  it('see all keys in a layer without a window beside one with it', async () => {
    const rig = await AttentionRig.create({ ...heads, layers: [layer({ window: 3 }), layer({})] })
    for (const cache of [0, 1]) expectParts(rig, ragged(rig, cache), cache)
  })
})

const VARIANTS: Readonly<Record<string, Partial<RigSizes>>> = {
  'a scale of their own': { attentionScale: 0.7 },
  'a cap that binds': { attentionScale: 2, attentionSoftcap: 1.5 },
  'a cap that hardly binds': { attentionSoftcap: 50 },
  'a cap within a window': { attentionScale: 2, attentionSoftcap: 1.5, layers: [layer({ window: 19 })] },
  'queries scaled by position': { queryScaling: { beta: 0.4, originalPositions: 16 } },
  'no rotation': { layers: [layer({ rope: undefined })] },
  'no rotation, no table, queries scaled': {
    ropes: [],
    layers: [layer({ rope: undefined })],
    queryScaling: { beta: 0.4, originalPositions: 5 },
  },
  'rotation of the first 8 dims, no norm': { headNorm: false, ropes: [{ dims: 8, theta: 50, scaling: undefined }] },
  'rotation of the first 12 dims, queries scaled': {
    ropes: [{ dims: 12, theta: 50, scaling: undefined }],
    queryScaling: { beta: 0.4, originalPositions: 16 },
  },
  'three tables, each in its layers': {
    ropes: [
      { dims: 20, theta: 10_000, scaling: undefined },
      { dims: 8, theta: 100, scaling: { kind: 'linear', factor: 8 } },
      {
        ...{ dims: 16, theta: 1000 },
        scaling: {
          kind: 'yarn',
          ...{ factor: 4, betaFast: 32, betaSlow: 1, truncate: true, originalPositions: 64, attentionFactor: 1.2 },
        },
      },
    ],
    layers: [layer({ rope: 1 }), layer({ rope: 2, window: 20 }), layer({ rope: undefined }), layer({})],
  },
}

describe.each(Object.entries(VARIANTS))('attention with %s', (_, changes) => {
  it('gives what float64 gives in every layer, in a ragged batch', async () => {
    const rig = await AttentionRig.create({ heads: 6, kvHeads: 2, headDim: 20, ...changes })
    for (const cache of rig.shape.layers.keys()) expectParts(rig, ragged(rig, cache), cache)
  })
})

describe('a capped score', () => {
  it('is cap · tanh(score / cap) within 1e-6 of the cap, from tiny to far beyond it', async () => {
    const turns = FULL ? 4000 : 400
    for (const cap of [1, 5]) {
      const rig = await cappedRig(cap)
      for (let turn = 0; turn < turns; turn++) {
        // From 1e-6 to 1e4 caps, either sign, beside a key of score 0.
        const score = Math.fround(cap * 10 ** (-6 + (10 * turn) / turns) * (turn % 2 ? 1 : -1))
        const [own, zero] = rig.weights([score, 0])
        const capped = Math.log((own ?? Number.NaN) / (zero ?? Number.NaN))
        expect(Math.abs(capped - cap * Math.tanh(score / cap)), `score ${score}`).toBeLessThan(1e-6 * cap)
      }
    }
  })

  it('that is not finite gives NaN, not a number that looks right', async () => {
    const rig = await cappedRig(3)
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      for (const place of [0, 4, 7]) {
        const scores = Array.from({ length: 8 }, (_, key) => (key === place ? bad : key / 8))
        expect(rig.weights(scores)).toEqual(Array(8).fill(Number.NaN))
      }
    }
  })
})

/** Decode rows, drafts, chunks at odd positions, and the start of a request; their contexts are in the cache. */
function ragged(rig: AttentionRig, cache = 0): Part[] {
  const blocks = scatteredBlocks(rig.geometry.totalBlocks, 7 + cache)
  const part = (seed: number, position: number, rows: number): Part => ({
    tokens: tokensOf(100 * cache + seed, blocks(position + rows)),
    position,
    rows,
  })
  const parts = [part(1, 200, 1), part(2, 0, 1), part(3, 37, 4), part(4, 0, 17), part(5, 51, 30), part(6, 31, 2)]
  for (const { tokens, position } of parts) {
    for (let first = 0; first < position; first += rig.geometry.rows) {
      rig.run([{ tokens, position: first, rows: Math.min(rig.geometry.rows, position - first) }], cache)
    }
  }
  return parts
}

/** Makes NaN of K and V of the first positions of a request. */
function forget(rig: AttentionRig, tokens: Tokens, positions: number): void {
  const { kvHeads, headDim } = rig.shape
  const cache = rig.attention.memory.floats(kvName(0))
  for (let position = 0; position < positions; position++) {
    const block = at(tokens.blocks, Math.floor(position / BLOCK_SIZE))
    for (let head = 0; head < kvHeads; head++) {
      const first = (block * kvHeads + head) * headDim * BLOCK_SIZE
      for (let d = 0; d < headDim; d++) {
        cache[first + d * BLOCK_SIZE + (position % BLOCK_SIZE)] = Number.NaN
        cache[cache.length / 2 + first + (position % BLOCK_SIZE) * headDim + d] = Number.NaN
      }
    }
  }
}

function expectParts(rig: AttentionRig, parts: readonly Part[], cache = 0): void {
  const outputs = rig.run(parts, cache)
  const reference = new AttentionReference(rig, cache)
  let worst = 0
  for (const [index, { tokens, position, rows }] of parts.entries()) {
    const output = at(outputs, index)
    for (let row = 0; row < rows; row++) {
      for (const [i, value] of reference.row(tokens, position + row).entries()) {
        const error = Math.abs(at(output, row * rig.outWidth + i) - value) / Math.max(1, Math.abs(value))
        worst = error >= 0 ? Math.max(worst, error) : Number.POSITIVE_INFINITY
      }
    }
  }
  expect(worst).toBeLessThan(1e-5)
}

/** One query over keys of given scores; the value of key i is 1 in element i alone. */
async function cappedRig(cap: number) {
  const { attention } = await AttentionRig.create({
    ...{ heads: 1, kvHeads: 1, headDim: 8, headNorm: false, ropes: [] },
    ...{ attentionScale: 1, attentionSoftcap: cap, layers: [layer({ rope: undefined })] },
  })
  const cache = attention.memory.floats(kvName(0))
  return {
    /** @param scores at most 8 */
    weights(scores: readonly number[]): number[] {
      cache.fill(Number.NaN)
      for (const [key, score] of scores.entries()) {
        for (let d = 0; d < 8; d++) {
          cache[d * BLOCK_SIZE + key] = d === 0 ? score : 0
          cache[cache.length / 2 + key * 8 + d] = Number(d === key)
        }
      }
      attention.qkv.set([1, ...Array(7).fill(0)])
      attention.out.fill(Number.NaN)
      const tokens = tokensOf(0, Int32Array.of(0))
      attention.attend(0, batchOf([{ tokens, position: scores.length - 1, rows: 1 }]))
      return [...attention.out.subarray(0, scores.length)]
    },
  }
}
