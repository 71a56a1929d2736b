/**
 * Sampling by its definitions, slow and plain, one row at a time: what keeps `src/host/sampling` honest. Thresholds by sorting,
 * the choice by the score of every token, counts by searching. It must never use what it is compared with.
 */

import { at } from '../../src/util/math.ts'
import { isInvalidRow, type SampledRow, samplingParams, type TestSampling } from './sampledRow.ts'

/** The row after bias, then repetition, frequency and presence penalty; each result is rounded to f32. Neutral ones change nothing. */
export function adjusted({ logits, sampling, drafts = [] }: SampledRow): Float32Array {
  const { repetitionPenalty, presencePenalty, frequencyPenalty, logitBias } = samplingParams(sampling)
  const neutral = repetitionPenalty === 1 && presencePenalty === 0 && frequencyPenalty === 0 && logitBias.length === 0
  if (neutral) return logits
  const out = [...(sampling.output ?? []), ...drafts]
  return logits.map((raw, id) => {
    const bias = logitBias.find(([token]) => token === id)?.[1]
    const count = out.filter((token) => token === id).length
    const seen = count > 0 || sampling.prompt?.includes(id)
    if (!Number.isFinite(raw) || !(seen || bias !== undefined)) return raw
    let logit = Math.fround(Math.max(-3e36, Math.min(3e36, raw)) + Math.fround(bias ?? 0))
    if (!seen) return logit
    logit = Math.fround(logit * Math.fround(logit > 0 ? 1 / repetitionPenalty : repetitionPenalty))
    logit = Math.fround(logit - Math.fround(frequencyPenalty) * count)
    return count > 0 ? Math.fround(logit - Math.fround(presencePenalty)) : logit
  })
}

/** Probabilities over the logits from `smallest` up, 0 elsewhere. */
export function probabilities(logits: Float32Array, temperature: number, smallest: number): Float64Array {
  const peak = logits.reduce((a, b) => Math.max(a, b), -Infinity)
  const weights = Float64Array.from(logits, (x) => (x >= smallest ? Math.exp((x - peak) / temperature) : 0))
  const total = weights.reduce((a, b) => a + b, 0)
  return weights.map((weight) => weight / total)
}

/** The smallest logit that min-p and top-k keep; -Infinity where they cut nothing. */
export function keptBeforeTopP(logits: Float32Array, sampling: TestSampling): number {
  const { temperature, topK, minP } = samplingParams(sampling)
  const falling = logits.toSorted().reverse()
  const byTopK = topK === 0 || topK >= logits.length ? -Infinity : at(falling, topK - 1)
  const byMinP = minP === 0 ? -Infinity : Math.fround(at(falling, 0) - Math.fround(-temperature * Math.log(minP)))
  return Math.max(byTopK, byMinP)
}

/** The smallest logit kept by min-p, top-k and then top-p: the greatest at which the probabilities from the top reach topP. */
export function smallestKept(logits: Float32Array, sampling: TestSampling): number {
  const { temperature, topP } = samplingParams(sampling)
  const kept = keptBeforeTopP(logits, sampling)
  if (topP >= 1) return kept
  const p = probabilities(logits, temperature, kept)
  const falling = Array.from(logits.keys()).sort((a, b) => at(logits, b) - at(logits, a) || a - b)
  let sum = 0
  for (const id of falling) {
    sum += at(p, id)
    if (sum >= topP) return at(logits, id)
  }
  return kept
}

type Words4 = readonly [number, number, number, number]

/** pcg4d as published, on 32-bit words. */
export function pcg4d(value: Words4): Words4 {
  const word = (x: bigint): bigint => x & 0xffffffffn
  let [x, y, z, w] = value.map((v) => word(BigInt(v >>> 0) * 1664525n + 1013904223n)) as [
    bigint,
    bigint,
    bigint,
    bigint,
  ]
  const mix = () => {
    x = word(x + y * w)
    y = word(y + z * x)
    z = word(z + x * y)
    w = word(w + y * z)
  }
  mix()
  x ^= x >> 16n
  y ^= y >> 16n
  z ^= z >> 16n
  w ^= w >> 16n
  mix()
  return [Number(x), Number(y), Number(z), Number(w)]
}

/** -log E of a token: E is a standard exponential variate from 32 bits keyed by request, position and token. */
export function plainNoise({ sampling, position }: SampledRow, token: number): number {
  const { seed, sampleIndex } = samplingParams(sampling)
  const [x, y, z, w] = pcg4d([seed % 2 ** 32, Math.floor(seed / 2 ** 32), sampleIndex, position])
  const bits = pcg4d([x, y, z, w ^ token])[3]
  const v = Math.min(Math.fround(Math.fround(bits) + 0.5) / 2 ** 32, 1 - 2 ** -24)
  return -Math.log(-Math.log1p(-v))
}

/** Logit, or logit / T + noise, of every token from `smallest` up, relative to the largest logit; -Infinity elsewhere. */
export function scores(row: SampledRow, smallest: number): Float64Array {
  const { temperature } = samplingParams(row.sampling)
  const peak = row.logits.reduce((a, b) => Math.max(a, b), -Infinity)
  return Float64Array.from(row.logits, (x, id) => {
    if (x < smallest) return -Infinity
    return temperature === 0 ? x - peak : (x - peak) / Math.fround(temperature) + plainNoise(row, id)
  })
}

/** The greatest value's index, the lowest where several tie. */
export function argmax(values: ArrayLike<number>): number {
  let best = 0
  for (let i = 1; i < values.length; i++) if (at(values, i) > at(values, best)) best = i
  return best
}

/** The token of a row, penalties and all; -1 where it is invalid. */
export function plainChoice(row: SampledRow): number {
  const logits = adjusted(row)
  if (isInvalidRow(logits)) return -1
  const smallest = row.sampling.temperature ? smallestKept(logits, row.sampling) : -Infinity
  return argmax(scores({ ...row, logits }, smallest))
}

/** The sums of pcg2d(id, bits) over a row, as 16 hex digits. */
export function plainDigest(logits: Float32Array): string {
  const word = (x: bigint): bigint => x & 0xffffffffn
  let [low, high] = [0n, 0n]
  for (const [id, bits] of new Uint32Array(logits.slice().buffer).entries()) {
    let x = word(BigInt(id) * 1664525n + 1013904223n)
    let y = word(BigInt(bits) * 1664525n + 1013904223n)
    x = word(x + y * 1664525n)
    y = word(y + x * 1664525n)
    x ^= x >> 16n
    y ^= y >> 16n
    x = word(x + y * 1664525n)
    y = word(y + x * 1664525n)
    low = word(low + (x ^ (x >> 16n)))
    high = word(high + (y ^ (y >> 16n)))
  }
  return ((high << 32n) | low).toString(16).padStart(16, '0')
}
