/** What QK-norm, RoPE and attention give, in float64 and in the plainest way. */

import type { LayerSpec, RopeSpec } from '../../src/models/modelSpec.ts'
import { ropeFrequencies } from '../../src/models/rope.ts'
import type { AttentionShape } from '../../src/ort/attentionPlan.ts'
import { at } from '../../src/util/math.ts'
import { type AttentionRig, type Tokens, tokenInput } from './attentionRig.ts'

type HeadNorms = readonly [queries: Float32Array, keys: Float32Array]

/** Attention of rig's requests, whose inputs follow from a seed. */
export class AttentionReference {
  readonly #rig: AttentionRig
  readonly #cache: number
  readonly #prepared = new Map<string, Float64Array>()

  constructor(rig: AttentionRig, cache = 0) {
    this.#rig = rig
    this.#cache = cache
  }

  /** A row of qkv with queries and keys normalised and rotated. */
  prepared(tokens: Tokens, position: number): Float64Array {
    const key = `${position < tokens.shared ? tokens.seed : tokens.ownSeed} ${position}`
    const known = this.#prepared.get(key)
    if (known) return known
    const { shape, geometry, norms } = this.#rig
    const row = Float64Array.from(tokenInput(tokens, position, this.#rig))
    prepareRow(shape, at(shape.layers, this.#cache), geometry.maxModelLen, at(norms, this.#cache), row, position)
    this.#prepared.set(key, row)
    return row
  }

  /** The attention of one row. @returns [heads][headDim] */
  row(tokens: Tokens, position: number): Float64Array {
    const { shape } = this.#rig
    const rows = Array.from({ length: position + 1 }, (_, key) => this.prepared(tokens, key))
    return attendRow(shape, at(shape.layers, this.#cache), rows)
  }
}

/** Normalises and rotates the queries and keys of a row of qkv in place. */
export function prepareRow(
  { heads, kvHeads, headDim, headNorm, ropes, rmsNormEps }: AttentionShape,
  { rope }: LayerSpec,
  maxModelLen: number,
  [queryNorm, keyNorm]: HeadNorms,
  row: Float64Array,
  position: number,
): void {
  for (let head = 0; head < heads + kvHeads; head++) {
    const values = row.subarray(head * headDim, (head + 1) * headDim)
    if (headNorm) normalise(values, head < heads ? queryNorm : keyNorm, rmsNormEps)
    if (rope !== undefined) rotate(values, at(ropes, rope), maxModelLen, position)
  }
}

/** The attention of the last of a request's rows from position 0 on, all prepared. @returns [heads][headDim] */
export function attendRow(shape: AttentionShape, { window }: LayerSpec, rows: readonly Float64Array[]): Float64Array {
  const { heads, kvHeads, headDim, attentionSoftcap: cap } = shape
  const position = rows.length - 1
  const scale = queryScale(shape, position)
  const visible = rows.filter((_, key) => window === undefined || key > position - window)
  const out = new Float64Array(heads * headDim)
  for (let head = 0; head < heads; head++) {
    const kvHead = Math.floor(head / (heads / kvHeads))
    const k = (heads + kvHead) * headDim
    const v = k + kvHeads * headDim
    const query = at(rows, position).subarray(head * headDim, (head + 1) * headDim)
    const scores = visible
      .map((row) => dot(query, row.subarray(k, k + headDim)) * scale)
      .map((score) => (cap === undefined ? score : cap * Math.tanh(score / cap)))
    const largest = scores.reduce((a, b) => Math.max(a, b))
    const weights = scores.map((score) => Math.exp(score - largest))
    const total = weights.reduce((a, b) => a + b)
    const sums = out.subarray(head * headDim, (head + 1) * headDim)
    for (const [key, weight] of weights.entries()) {
      const values = at(visible, key).subarray(v, v + headDim)
      for (const [d, value] of values.entries()) sums[d] = at(sums, d) + (weight / total) * value
    }
  }
  return out
}

function queryScale({ attentionScale, queryScaling }: AttentionShape, position: number): number {
  if (!queryScaling) return attentionScale
  const { beta, originalPositions } = queryScaling
  return attentionScale * (1 + beta * Math.log(1 + Math.floor(position / originalPositions)))
}

function normalise(head: Float64Array, weights: Float32Array, eps: number): void {
  const mean = head.reduce((sum, value) => sum + value * value, 0) / head.length
  const scale = 1 / Math.sqrt(mean + eps)
  head.forEach((value, d) => {
    head[d] = value * scale * at(weights, d)
  })
}

function rotate(head: Float64Array, rope: RopeSpec, maxModelLen: number, position: number): void {
  const half = rope.dims / 2
  const scaled = rope.scaling && ropeFrequencies(rope, maxModelLen)
  for (let i = 0; i < half; i++) {
    const angle = position * (scaled ? at(scaled.frequencies, i) : rope.theta ** (-i / half))
    const factor = scaled?.factor ?? 1
    const [cos, sin] = [Math.cos(angle) * factor, Math.sin(angle) * factor]
    const [a, b] = [at(head, i), at(head, i + half)]
    head[i] = a * cos - b * sin
    head[i + half] = b * cos + a * sin
  }
}

function dot(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, value, i) => sum + value * at(b, i), 0)
}
