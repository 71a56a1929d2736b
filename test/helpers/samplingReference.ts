/**
 * Sampling in plain float64, one row at a time: penalties and bias, what min-p, top-k and top-p keep, the noise, the choice, the digest. The hashes are
 * those of `shaders/lib/noise.wgsl` word for word. It must never know how the kernels cut a row.
 */

import { TABLE_ROW_WORDS } from '../../src/runner/packPlan.ts'
import { at } from '../../src/util/math.ts'

/** What the request table holds of a request's sampling. */
export interface Sampling {
  /** 0 is greedy */
  readonly temperature: number
  /** 0 is off */
  readonly topK?: number
  /** 1 is off */
  readonly topP?: number
  /** 0 is off */
  readonly minP?: number
  /** 1 is off */
  readonly repetition?: number
  readonly presence?: number
  readonly frequency?: number
  /** [id, bias] */
  readonly bias?: readonly (readonly [number, number])[]
  /** tokens of the prompt and of the output so far, for the penalties */
  readonly prompt?: readonly number[]
  readonly output?: readonly number[]
  readonly seedLow?: number
  readonly seedHigh?: number
  readonly sampleIndex?: number
}

/** A row of logits and how it is sampled. */
export interface SampledRow {
  readonly logits: Float32Array // [vocab]
  readonly sampling: Sampling
  /** absolute position of the token that is sampled */
  readonly position: number
  /** verified in this step before the token is sampled */
  readonly drafts?: readonly number[]
}

export const NO_TOKEN = 0xffffffff

const scratch = new DataView(new ArrayBuffer(4))

function bitsOf(logit: number): number {
  scratch.setFloat32(0, logit)
  return scratch.getUint32(0)
}

/** The order-preserving key of a logit that is not NaN; -0 and +0 share one. */
export function logitKey(logit: number): number {
  const bits = bitsOf(logit)
  return (bits >= 0x80000000 ? -bits : bits | 0x80000000) >>> 0
}

/** The logit of a key. */
export function keyLogit(key: number): number {
  scratch.setUint32(0, key >= 0x80000000 ? key - 0x80000000 : -key >>> 0)
  return scratch.getFloat32(0)
}

/** Whether the row ends its request: a NaN, +infinity, or nothing but -infinity. */
export function isInvalidRow(logits: Float32Array): boolean {
  return logits.some((x) => Number.isNaN(x) || x === Infinity) || logits.every((x) => x === -Infinity)
}

/** Whether the request changes its logits before the choice. */
export function adjusts({ repetition = 1, presence = 0, frequency = 0, bias = [] }: Sampling): boolean {
  return repetition !== 1 || presence !== 0 || frequency !== 0 || bias.length > 0
}

/** The row as the choice sees it: bias, then repetition, frequency and presence penalty; each result is rounded to f32. */
export function adjustedRow(row: SampledRow): SampledRow {
  const { repetition = 1, presence = 0, frequency = 0, bias = [], prompt = [], output = [] } = row.sampling
  if (!adjusts(row.sampling)) return row
  const out = [...output, ...(row.drafts ?? [])]
  const logits = row.logits.map((raw, id) => {
    const biased = bias.find(([token]) => token === id)
    const count = out.filter((token) => token === id).length
    const seen = count > 0 || prompt.includes(id)
    if (!Number.isFinite(raw) || !(seen || biased)) return raw
    let logit = Math.fround(Math.max(-3e36, Math.min(3e36, raw)) + Math.fround(biased?.[1] ?? 0))
    if (!seen) return logit
    logit = Math.fround(logit * Math.fround(logit > 0 ? 1 / repetition : repetition))
    logit = Math.fround(logit - Math.fround(frequency) * count)
    return count > 0 ? Math.fround(logit - Math.fround(presence)) : logit
  })
  return { ...row, logits }
}

/** Ids by falling logit; ties by rising id. */
function ranked(logits: Float32Array): number[] {
  return Array.from(logits.keys()).sort((a, b) => at(logits, b) - at(logits, a) || a - b)
}

/** The smallest logit that top-k keeps; -infinity when it is off or cuts nothing. */
export function topKLogit(logits: Float32Array, topK = 0): number {
  if (topK === 0 || topK >= logits.length) return -Infinity
  return at(logits, at(ranked(logits), topK - 1))
}

/** Probabilities over what `smallest` leaves, 0 elsewhere. */
export function probabilities(logits: Float32Array, temperature: number, smallest: number): Float64Array {
  const peak = logits.reduce((a, b) => Math.max(a, b), -Infinity)
  const weights = Float64Array.from(logits, (x) => (x >= smallest ? Math.exp((x - peak) / temperature) : 0))
  const total = weights.reduce((a, b) => a + b, 0)
  return weights.map((weight) => weight / total)
}

/** The smallest logit that may be kept by min-p; -infinity when it is off. */
export function minPLogit(logits: Float32Array, { temperature, minP = 0 }: Sampling): number {
  if (minP === 0) return -Infinity
  const peak = logits.reduce((a, b) => Math.max(a, b), -Infinity)
  return Math.fround(peak - Math.fround(-temperature * Math.log(minP)))
}

/** The smallest logit kept by min-p, top-k and then top-p: the greatest at which the probabilities from the top reach topP. */
export function smallestKept(logits: Float32Array, sampling: Sampling): number {
  const { temperature, topK, topP = 1 } = sampling
  const kept = Math.max(topKLogit(logits, topK), minPLogit(logits, sampling))
  if (topP >= 1) return kept
  const p = probabilities(logits, temperature, kept)
  let sum = 0
  for (const id of ranked(logits)) {
    sum += at(p, id)
    if (sum >= topP) return at(logits, id)
  }
  return kept
}

function pcg2d(a: number, b: number): [number, number] {
  let x = (Math.imul(a, 1664525) + 1013904223) | 0
  let y = (Math.imul(b, 1664525) + 1013904223) | 0
  x = (x + Math.imul(y, 1664525)) | 0
  y = (y + Math.imul(x, 1664525)) | 0
  x ^= x >>> 16
  y ^= y >>> 16
  x = (x + Math.imul(y, 1664525)) | 0
  y = (y + Math.imul(x, 1664525)) | 0
  return [(x ^ (x >>> 16)) >>> 0, (y ^ (y >>> 16)) >>> 0]
}

type Words4 = readonly [number, number, number, number]

function pcg4d(value: Words4): Words4 {
  let [x, y, z, w] = value.map((word) => (Math.imul(word, 1664525) + 1013904223) | 0) as unknown as Words4
  const mix = () => {
    x = (x + Math.imul(y, w)) | 0
    y = (y + Math.imul(z, x)) | 0
    z = (z + Math.imul(x, y)) | 0
    w = (w + Math.imul(y, z)) | 0
  }
  mix()
  x ^= x >>> 16
  y ^= y >>> 16
  z ^= z >>> 16
  w ^= w >>> 16
  mix()
  return [x >>> 0, y >>> 0, z >>> 0, w >>> 0]
}

/** -log E of a token: E is a standard exponential variate from 32 bits keyed by request, position and token. */
function gumbel(key: Words4, token: number): number {
  const bits = pcg4d([key[0], key[1], key[2], key[3] ^ token])[3]
  const v = Math.min(Math.fround(Math.fround(bits) + 0.5) * 2 ** -32, 1 - 2 ** -24)
  return -Math.log(-Math.log1p(-v))
}

/** Scores [vocab] of the tokens at least as likely as `smallest`: logit, or logit / T + noise; -infinity elsewhere. */
export function scores({ logits, sampling, position }: SampledRow, smallest: number): Float64Array {
  const { temperature, seedLow = 0, seedHigh = 0, sampleIndex = 0 } = sampling
  const key = pcg4d([seedLow, seedHigh, sampleIndex, position])
  return Float64Array.from(logits, (x, id) => {
    if (x < smallest) return -Infinity
    return temperature === 0 ? x : x / temperature + gumbel(key, id)
  })
}

/** The greatest score's id, the lowest where several tie. */
export function argmax(values: ArrayLike<number>): number {
  let best = 0
  for (let i = 1; i < values.length; i++) if (at(values, i) > at(values, best)) best = i
  return best
}

/** The digest of a row: sums of two hashes of (id, bits), as (low, high). */
export function digest(logits: Float32Array): [number, number] {
  let [low, high] = [0, 0]
  const bits = new Uint32Array(logits.buffer, logits.byteOffset, logits.length)
  for (const [id, word] of bits.entries()) {
    const [x, y] = pcg2d(id, word)
    low = (low + x) >>> 0
    high = (high + y) >>> 0
  }
  return [low, high]
}

/** The row's 21 words of the request table (`shaders/lib/requestTable.wgsl`). */
export function tableRowWords(sampling: Sampling): Uint32Array {
  const { temperature, topK = 0, topP = 1, seedLow = 0, seedHigh = 0, sampleIndex = 0 } = sampling
  const { minP = 0, repetition = 1, presence = 0, frequency = 0 } = sampling
  const words = new Uint32Array(TABLE_ROW_WORDS)
  const floats = new Float32Array(words.buffer)
  floats.set([temperature, topP], 8)
  words.set([topK, sampleIndex, seedLow, seedHigh], 10)
  words[15] = adjusts(sampling) ? 1 : 0
  floats.set([minP > 0 ? -temperature * Math.log(minP) : -1, repetition, 1 / repetition, presence, frequency], 16)
  return words
}
