/**
 * The forward pass of any model spec over a whole sequence in float64, without a cache, slow and plain: the oracle of backends. Written
 * from the formulas of the families (docs/adding-a-model.md), not from src/.
 */

import type { LayerSpec, ModelSpec, RopeSpec } from '../../src/models/modelSpec.ts'
import type { WeightRole } from '../../src/models/weightNames.ts'
import { at } from '../../src/util/math.ts'

/** Values of a tensor of the target model, row-major; norms with their offset. `layer` is undefined outside the blocks. */
export type ReferenceWeights = (role: WeightRole, layer?: number) => ArrayLike<number>

export interface ReferenceOptions {
  /** of the engine: chooses between the lists of `longrope` */
  readonly maxModelLen: number
  /** what the cache makes of a key's or a value's number; as it is by default */
  readonly stored?: (value: number) => number
}

/** Rows of equal width. */
export interface Rows {
  readonly width: number
  /** [count][width] */
  readonly values: Float64Array
}

export interface ReferencePass {
  /** the residual stream after each block, [numLayers] */
  readonly layerOutputs: readonly Rows[]
  /** after the final norm */
  readonly hidden: Rows
  /** of one row, [vocabSize] */
  logits(row: number): Float64Array
}

export function referencePass(
  spec: ModelSpec,
  weights: ReferenceWeights,
  ids: readonly number[],
  options: ReferenceOptions,
): ReferencePass {
  const { hiddenSize, rmsNormEps, residualScale } = spec
  const norm = (x: Rows, role: WeightRole, layer?: number) => rmsNorm(x, weights(role, layer), rmsNormEps)
  const embed = weights('embed')
  let x = rows(ids.length, hiddenSize, (row, i) => at(embed, at(ids, row) * hiddenSize + i) * spec.embeddingScale)
  const layerOutputs: Rows[] = []
  for (const [layer, layerSpec] of spec.layers.entries()) {
    const block: BlockWeights = (role) => weights(role, layer)
    const { norms } = spec
    const attended = attention(spec, layerSpec, block, norms === 'post' ? x : norm(x, 'inputNorm', layer), options)
    x = added(x, norms === 'pre' ? attended : norm(attended, 'postAttentionNorm', layer), residualScale)
    const mixed = mlp(spec, block, norms === 'post' ? x : norm(x, 'preMlpNorm', layer))
    x = added(x, norms === 'pre' ? mixed : norm(mixed, 'postMlpNorm', layer), residualScale)
    layerOutputs.push(x)
  }
  const hidden = norm(x, 'finalNorm')
  const head = weights(spec.tiedEmbeddings ? 'embed' : 'lmHead')
  return {
    layerOutputs,
    hidden,
    logits: (row) => {
      const { values } = linear({ width: hiddenSize, values: rowOf(hidden, row) }, head)
      return values.map((value) => capped(value * spec.logitScale, spec.logitSoftcap))
    },
  }
}

type BlockWeights = (role: WeightRole) => ArrayLike<number>

function attention(spec: ModelSpec, layer: LayerSpec, block: BlockWeights, x: Rows, options: ReferenceOptions): Rows {
  const { headDim, numHeads, numKvHeads, qkNorm, qkvBias } = spec
  const project = (role: 'q' | 'k' | 'v') => linear(x, block(role), qkvBias ? block(`${role}Bias`) : undefined)
  const normed = (projected: Rows, role: 'qNorm' | 'kNorm') => {
    if (!qkNorm) return projected
    const each = qkNorm === 'head' ? headDim : projected.width
    const { values } = rmsNorm({ width: each, values: projected.values }, block(role), spec.rmsNormEps)
    return { width: projected.width, values }
  }
  const rope = layer.rope === undefined ? undefined : at(spec.ropes, layer.rope)
  const rotate = (heads: Rows) => (rope ? rotated(heads, headDim, rope, options.maxModelLen) : heads)
  const store = ({ width, values }: Rows): Rows => ({ width, values: values.map(options.stored ?? ((value) => value)) })
  const q = scaledQueries(rotate(normed(project('q'), 'qNorm')), spec)
  const k = store(rotate(normed(project('k'), 'kNorm')))
  const v = store(project('v'))

  const out = rows(x.values.length / x.width, numHeads * headDim, () => 0)
  for (let i = 0; i < out.values.length / out.width; i++) {
    const first = layer.window === undefined ? 0 : Math.max(0, i - layer.window + 1)
    for (let head = 0; head < numHeads; head++) {
      const kvHead = Math.floor(head / (numHeads / numKvHeads))
      const query = headOf(q, i, head, headDim)
      const scores: number[] = []
      for (let j = first; j <= i; j++) {
        scores.push(capped(dot(query, headOf(k, j, kvHead, headDim)) * spec.attentionScale, spec.attentionSoftcap))
      }
      const largest = Math.max(...scores)
      const masses = scores.map((score) => Math.exp(score - largest))
      const total = masses.reduce((sum, mass) => sum + mass, 0)
      const target = headOf(out, i, head, headDim)
      for (const [offset, mass] of masses.entries()) {
        const value = headOf(v, first + offset, kvHead, headDim)
        for (let d = 0; d < headDim; d++) target[d] = at(target, d) + (mass / total) * at(value, d)
      }
    }
  }
  return linear(out, block('o'), spec.outputBias ? block('oBias') : undefined)
}

function scaledQueries(q: Rows, { queryScaling }: ModelSpec): Rows {
  if (!queryScaling) return q
  const { beta, originalPositions } = queryScaling
  const scale = (position: number) => 1 + beta * Math.log(1 + Math.floor(position / originalPositions))
  return { width: q.width, values: q.values.map((value, i) => value * scale(Math.floor(i / q.width))) }
}

function mlp(spec: ModelSpec, block: BlockWeights, x: Rows): Rows {
  const bias = (role: WeightRole) => (spec.mlpBias ? block(role) : undefined)
  const up = linear(x, block('up'), bias('upBias'))
  const activate = spec.activation === 'silu' ? silu : geluTanh
  const gate = linear(x, block('gate'), bias('gateBias'))
  const activated = { width: gate.width, values: gate.values.map((g, i) => activate(g) * at(up.values, i)) }
  return linear(activated, block('down'), bias('downBias'))
}

function silu(g: number): number {
  return g / (1 + Math.exp(-g))
}

function geluTanh(g: number): number {
  return 0.5 * g * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (g + 0.044715 * g ** 3)))
}

function capped(value: number, cap: number | undefined): number {
  return cap === undefined ? value : cap * Math.tanh(value / cap)
}

/** Row r is at position r. */
function rotated(heads: Rows, headDim: number, rope: RopeSpec, maxModelLen: number): Rows {
  const { angles, factor } = anglesOf(rope, maxModelLen)
  const half = rope.dims / 2
  const values = heads.values.slice()
  for (let start = 0; start < values.length; start += headDim) {
    const position = Math.floor(start / heads.width)
    for (let i = 0; i < half; i++) {
      const [a, b] = [at(heads.values, start + i), at(heads.values, start + i + half)]
      const [cos, sin] = [Math.cos(position * at(angles, i)) * factor, Math.sin(position * at(angles, i)) * factor]
      values[start + i] = a * cos - b * sin
      values[start + i + half] = b * cos + a * sin
    }
  }
  return { width: heads.width, values }
}

/** The angle at position 1 of each pair, [dims / 2], and the factor of cosines and sines. */
export function anglesOf(
  { dims, theta, scaling }: RopeSpec,
  maxModelLen: number,
): { angles: number[]; factor: number } {
  const plain = Array.from({ length: dims / 2 }, (_, i) => theta ** ((-2 * i) / dims))
  switch (scaling?.kind) {
    case undefined:
      return { angles: plain, factor: 1 }
    case 'linear':
      return { angles: plain.map((angle) => angle / scaling.factor), factor: 1 }
    case 'divisors':
      return { angles: plain.map((angle, i) => angle / at(scaling.divisors, i)), factor: 1 }
    case 'longrope': {
      const list = maxModelLen > scaling.originalPositions ? scaling.longFactors : scaling.shortFactors
      return { angles: plain.map((angle, i) => angle / at(list, i)), factor: scaling.attentionFactor }
    }
    case 'llama3': {
      const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalPositions: old } = scaling
      const angles = plain.map((angle) => {
        const wavelength = (2 * Math.PI) / angle
        const t = (old / wavelength - low) / (high - low)
        if (wavelength > old / low) return angle / factor
        return wavelength < old / high ? angle : ((1 - t) * angle) / factor + t * angle
      })
      return { angles, factor: 1 }
    }
    case 'yarn': {
      const { factor, betaFast, betaSlow, truncate, originalPositions: old } = scaling
      const dim = (n: number) => (dims * Math.log(old / (2 * Math.PI * n))) / (2 * Math.log(theta))
      const low = Math.max(truncate ? Math.floor(dim(betaFast)) : dim(betaFast), 0)
      let high = Math.min(truncate ? Math.ceil(dim(betaSlow)) : dim(betaSlow), dims - 1)
      if (high === low) high += 0.001
      const angles = plain.map((angle, i) => {
        const ramp = Math.min(1, Math.max(0, (i - low) / (high - low)))
        return (angle / factor) * ramp + angle * (1 - ramp)
      })
      return { angles, factor: scaling.attentionFactor }
    }
  }
}

function rmsNorm({ width, values }: Rows, weight: ArrayLike<number>, eps: number): Rows {
  const out = new Float64Array(values.length)
  for (let start = 0; start < values.length; start += width) {
    let squares = 0
    for (let i = 0; i < width; i++) squares += at(values, start + i) ** 2
    const scale = 1 / Math.sqrt(squares / width + eps)
    for (let i = 0; i < width; i++) out[start + i] = at(values, start + i) * scale * at(weight, i)
  }
  return { width, values: out }
}

/** @param matrix [outputs][width] */
function linear({ width, values }: Rows, matrix: ArrayLike<number>, bias?: ArrayLike<number>): Rows {
  const outputs = matrix.length / width
  const out = new Float64Array((values.length / width) * outputs)
  for (let row = 0; row < values.length / width; row++) {
    for (let n = 0; n < outputs; n++) {
      let sum = bias ? at(bias, n) : 0
      const [x, w] = [row * width, n * width]
      for (let k = 0; k < width; k++) sum += (values[x + k] as number) * (matrix[w + k] as number)
      out[row * outputs + n] = sum
    }
  }
  return { width: outputs, values: out }
}

function rows(count: number, width: number, value: (row: number, i: number) => number): Rows {
  return {
    width,
    values: Float64Array.from({ length: count * width }, (_, i) => value(Math.floor(i / width), i % width)),
  }
}

export function rowOf({ width, values }: Rows, row: number): Float64Array {
  return values.subarray(row * width, (row + 1) * width)
}

function headOf({ width, values }: Rows, row: number, head: number, headDim: number): Float64Array {
  return values.subarray(row * width + head * headDim, row * width + (head + 1) * headDim)
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number)
  return sum
}

function added({ width, values }: Rows, more: Rows, scale: number): Rows {
  return { width, values: values.map((value, i) => value + scale * at(more.values, i)) }
}
