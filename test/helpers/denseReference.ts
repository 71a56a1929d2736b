/** The dense half of a model in float64, row by row and slow: the oracle of its sessions. */

import type { ModelSpec } from '../../src/models/modelSpec.ts'
import { type BlockRole, type WeightRole, weightPlan } from '../../src/models/weightNames.ts'
import type { Quantization } from '../../src/protocol/engineOptions.ts'
import { seededRandom } from './kernelHarness.ts'
import type { StoredTensor } from './storedTensors.ts'

export const SMALL: ModelSpec = {
  family: 'qwen3',
  architecture: 'Qwen3ForCausalLM',
  hiddenSize: 20,
  intermediateSize: 36,
  numLayers: 3,
  numHeads: 3,
  numKvHeads: 1,
  headDim: 12,
  vocabSize: 37,
  maxPositions: 64,
  rmsNormEps: 1e-5,
  norms: 'pre',
  qkNorm: 'head',
  qkvBias: false,
  outputBias: false,
  mlpBias: false,
  activation: 'silu',
  attentionScale: 1 / Math.sqrt(12),
  attentionSoftcap: undefined,
  queryScaling: undefined,
  embeddingScale: 1,
  residualScale: 1,
  logitScale: 1,
  logitSoftcap: undefined,
  ropes: [{ dims: 12, theta: 10_000, scaling: undefined }],
  tiedEmbeddings: false,
  eosTokenIds: [],
  bosTokenId: undefined,
  layers: Array.from({ length: 3 }, () => ({ cache: 'paged', window: undefined, rope: 0 })),
  mtp: { blocks: 1, names: 'qwen3-next', concatOrder: 'embedding-first', maskFirstEmbedding: false },
}

export const SMALL_MIMO: ModelSpec = {
  ...SMALL,
  family: 'mimo',
  qkvBias: true,
  qkNorm: undefined,
  mtp: { blocks: 1, names: 'mimo', concatOrder: 'hidden-first', maskFirstEmbedding: true },
}

export function randomRows(seed: number, rows: number, width: number): Float32Array {
  const random = seededRandom(seed)
  return Float32Array.from({ length: rows * width }, () => 3 * random() - 1.5)
}

type Vector = readonly number[]

const ACTIVATIONS: Readonly<Record<ModelSpec['activation'], (x: number) => number>> = {
  silu: (x) => x / (1 + Math.exp(-x)),
  gelu_tanh: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
}

/** One row through each piece between two attentions. */
export class DenseReference {
  readonly #spec: ModelSpec
  readonly #product: (matrix: Float32Array, x: Vector) => number[]
  readonly #tensors = new Map<string, Float32Array>()

  constructor(spec: ModelSpec, tensors: readonly StoredTensor[], quantization: Quantization = 'none') {
    this.#spec = spec
    this.#product = quantization === 'w8a8' ? quantisedMatVec : matVec
    const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]))
    for (const { part, layer, role, name } of weightPlan(spec)) {
      const stored = byName.get(name)
      if (!stored) throw new Error(`no tensor ${name}`)
      this.#tensors.set(`${part} ${layer} ${role}`, stored.exact)
    }
  }

  weight(part: 'model' | 'mtp', layer: number | undefined, role: WeightRole): Float32Array {
    const values = this.#tensors.get(`${part} ${layer} ${role}`)
    if (!values) throw new Error(`no ${role} of ${part} ${layer}`)
    return values
  }

  embed(id: number): number[] {
    const { hiddenSize, embeddingScale } = this.#spec
    const row = this.weight('model', undefined, 'embed').subarray(id * hiddenSize, (id + 1) * hiddenSize)
    return [...row].map((value) => value * embeddingScale)
  }

  /** of the block that follows: norm, queries, keys and values, QK-norm of whole rows */
  qkv(part: 'model' | 'mtp', layer: number, x: Vector): number[] {
    const { norms, qkvBias, qkNorm } = this.#spec
    const input = norms === 'post' ? x : this.#norm(x, this.weight(part, layer, 'inputNorm'))
    const linear = (role: 'q' | 'k' | 'v') => this.#linear(part, layer, role, input, qkvBias)
    if (qkNorm !== 'whole') return [...linear('q'), ...linear('k'), ...linear('v')]
    const queries = this.#norm(linear('q'), this.weight(part, layer, 'qNorm'))
    const keys = this.#norm(linear('k'), this.weight(part, layer, 'kNorm'))
    return [...queries, ...keys, ...linear('v')]
  }

  /** the residual stream after the block whose attention it is */
  block(part: 'model' | 'mtp', layer: number, attention: Vector, x: Vector): number[] {
    const { norms, outputBias, mlpBias, activation, residualScale } = this.#spec
    const norm = (role: BlockRole, values: Vector) => this.#norm(values, this.weight(part, layer, role))
    const linear = (role: 'gate' | 'up' | 'down', values: Vector) => this.#linear(part, layer, role, values, mlpBias)
    const addTo = (sum: Vector, branch: Vector, role: BlockRole) =>
      add(
        sum,
        (norms === 'pre' ? branch : norm(role, branch)).map((value) => value * residualScale),
      )

    const middle = addTo(x, this.#linear(part, layer, 'o', attention, outputBias), 'postAttentionNorm')
    const input = norms === 'post' ? middle : norm('preMlpNorm', middle)
    const up = linear('up', input)
    const activated = linear('gate', input).map((g, i) => ACTIVATIONS[activation](g) * (up[i] ?? Number.NaN))
    return addTo(middle, linear('down', activated), 'postMlpNorm')
  }

  finalNorm(part: 'model' | 'mtp', x: Vector): number[] {
    return this.#norm(x, this.weight(part, undefined, 'finalNorm'))
  }

  logits(hidden: Vector): number[] {
    const { tiedEmbeddings, logitScale, logitSoftcap: cap } = this.#spec
    const matrix = this.weight('model', undefined, tiedEmbeddings ? 'embed' : 'lmHead')
    const logits = this.#product(matrix, hidden).map((value) => value * logitScale)
    return cap === undefined ? logits : logits.map((value) => cap * Math.tanh(value / cap))
  }

  drafterInput(embedding: Vector, hidden: Vector): number[] {
    const e = this.#norm(embedding, this.weight('mtp', undefined, 'embedNorm'))
    const h = this.#norm(hidden, this.weight('mtp', undefined, 'hiddenNorm'))
    const joined = this.#spec.mtp?.concatOrder === 'hidden-first' ? [...h, ...e] : [...e, ...h]
    return this.#product(this.weight('mtp', undefined, 'fc'), joined)
  }

  #linear(
    part: 'model' | 'mtp',
    layer: number,
    role: 'q' | 'k' | 'v' | 'o' | 'gate' | 'up' | 'down',
    x: Vector,
    bias: boolean,
  ): number[] {
    const y = this.#product(this.weight(part, layer, role), x)
    return bias ? add(y, this.weight(part, layer, `${role}Bias`)) : y
  }

  #norm(x: Vector, weight: Float32Array): number[] {
    const scale = Math.sqrt(x.reduce((sum, v) => sum + v * v, 0) / x.length + this.#spec.rmsNormEps)
    return x.map((v, i) => (v / scale) * (weight[i] ?? Number.NaN))
  }
}

/** W8A8 by its definition: both quantised by row, half to even for x; the sums are exact. */
export function quantisedMatVec(matrix: Float32Array, x: Vector): number[] {
  const row = x.map(Math.fround)
  const scale = Math.fround(Math.max(...row.map(Math.abs), 1e-30) * Math.fround(1 / 127))
  const q = row.map((v) => roundHalfEven(Math.fround(v / scale)))
  return Array.from({ length: matrix.length / x.length }, (_, n) => {
    const weights = [...matrix.subarray(n * x.length, (n + 1) * x.length)]
    const weightScale = Math.fround(Math.max(...weights.map(Math.abs)) / 127)
    const sum = q.reduce((total, v, k) => total + v * Math.round((weights[k] ?? Number.NaN) / (weightScale || 1)), 0)
    return sum * scale * weightScale
  })
}

function roundHalfEven(value: number): number {
  const rounded = Math.round(value)
  return rounded - value === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded
}

function matVec(matrix: Float32Array, x: Vector): number[] {
  return Array.from({ length: matrix.length / x.length }, (_, n) =>
    x.reduce((sum, v, k) => sum + v * (matrix[n * x.length + k] ?? Number.NaN), 0),
  )
}

function add(a: Vector, b: ArrayLike<number>): number[] {
  return a.map((v, i) => v + (b[i] ?? Number.NaN))
}
