/** What QK-norm, RoPE and causal attention give, in float64 and in the plainest way. Inputs are those of `attentionRig.ts`. */

import { at } from '../../src/util/math.ts'
import { type AttentionRig, EPS, THETA, type Tokens, tokenInput } from './attentionRig.ts'

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
    const { heads, kvHeads, headDim, qkNorm } = this.#rig.shape
    const row = Float64Array.from(tokenInput(tokens, position, this.#rig))
    const [queryNorm, keyNorm] = at(this.#rig.norms, this.#cache)
    for (let head = 0; head < heads + kvHeads; head++) {
      const values = row.subarray(head * headDim, (head + 1) * headDim)
      if (qkNorm) normalise(values, head < heads ? queryNorm : keyNorm)
      rotate(values, position)
    }
    this.#prepared.set(key, row)
    return row
  }

  /** The attention of one row. @returns [heads][headDim] */
  row(tokens: Tokens, position: number): Float64Array {
    const { heads, kvHeads, headDim } = this.#rig.shape
    const queries = this.prepared(tokens, position)
    const rows = Array.from({ length: position + 1 }, (_, key) => this.prepared(tokens, key))
    const out = new Float64Array(heads * headDim)
    for (let head = 0; head < heads; head++) {
      const kvHead = Math.floor(head / (heads / kvHeads))
      const k = (heads + kvHead) * headDim
      const v = k + kvHeads * headDim
      const query = queries.subarray(head * headDim, (head + 1) * headDim)
      const scores = rows.map((row) => dot(query, row.subarray(k, k + headDim)) / Math.sqrt(headDim))
      const largest = scores.reduce((a, b) => Math.max(a, b))
      const weights = scores.map((score) => Math.exp(score - largest))
      const total = weights.reduce((a, b) => a + b)
      const sums = out.subarray(head * headDim, (head + 1) * headDim)
      for (const [key, weight] of weights.entries()) {
        const values = at(rows, key).subarray(v, v + headDim)
        for (const [d, value] of values.entries()) sums[d] = at(sums, d) + (weight / total) * value
      }
    }
    return out
  }
}

function normalise(head: Float64Array, weights: Float32Array): void {
  const mean = head.reduce((sum, value) => sum + value * value, 0) / head.length
  const scale = 1 / Math.sqrt(mean + EPS)
  head.forEach((value, d) => {
    head[d] = value * scale * at(weights, d)
  })
}

function rotate(head: Float64Array, position: number): void {
  const half = head.length / 2
  for (let i = 0; i < half; i++) {
    const angle = position * THETA ** (-i / half)
    const [a, b] = [at(head, i), at(head, i + half)]
    head[i] = a * Math.cos(angle) - b * Math.sin(angle)
    head[i + half] = b * Math.cos(angle) + a * Math.sin(angle)
  }
}

function dot(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, value, i) => sum + value * at(b, i), 0)
}
