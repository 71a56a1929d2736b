/**
 * Builds the graph of one session from the layers of a transformer, and notes which tensor of the checkpoint goes where in its
 * external file. Matrices are f32, [N][K] as checkpoints store them, or quantised, [K][N]. It must never know how a model arranges the
 * layers.
 */

import type { ModelSpec } from '../models/modelSpec.ts'
import type { WeightTensor } from '../models/weightNames.ts'
import type { Quantization } from '../protocol/engineOptions.ts'
import { sum } from '../util/math.ts'
import { GraphNodes } from './graphNodes.ts'
import { encodeModel, MICROSOFT } from './onnx/model.ts'
import { type QuantisedRows, quantisedProduct, quantiseRows } from './quantisedLinear.ts'
import { WeightFile, type WeightPlace } from './weightFile.ts'

/** A session before there are weights. */
export interface SessionPlan {
  /** bytes of the ONNX model */
  readonly model: Uint8Array
  /** of the external file */
  readonly weightBytes: number
  readonly places: readonly WeightPlace[]
  /** f32 values per row that a run may hold at once, inputs and outputs included */
  readonly rowValues: number
}

export class GraphBuilder {
  readonly #eps: number
  readonly #quantization: Quantization
  readonly #graph = new GraphNodes()
  readonly #file = new WeightFile()
  /** rows that a matrix has been multiplied with, by their value before */
  readonly #quantised = new Map<string, QuantisedRows>()

  /** @param eps of every RMSNorm */
  constructor(eps: number, quantization: Quantization) {
    this.#eps = eps
    this.#quantization = quantization
  }

  input(name: string, width: number): string {
    return this.#graph.input(name, width)
  }

  output(name: string): void {
    this.#graph.output(name)
  }

  /** y = x / √(mean(x²) + ε) · weight, row by row. */
  norm(x: string, weight: WeightTensor, as?: string): string {
    const attributes = { axis: { int: -1 }, epsilon: { float: this.#eps } }
    const inputs = [x, this.#file.add([weight])]
    return this.#graph.add('SimplifiedLayerNormalization', inputs, this.#graph.width(x), { as, attributes })
  }

  /** sum = x + residual, and its norm. */
  residualNorm(
    x: string,
    residual: string,
    weight: WeightTensor,
    names: { readonly normed?: string; readonly sum?: string } = {},
  ): { readonly normed: string; readonly sum: string } {
    const width = this.#graph.width(x)
    const normed = this.#graph.value(width, names.normed)
    const total = this.#graph.value(width, names.sum)
    this.#graph.nodes.push({
      operator: 'SkipSimplifiedLayerNormalization',
      domain: MICROSOFT,
      inputs: [x, residual, this.#file.add([weight])],
      outputs: [normed, '', '', total],
      attributes: { epsilon: { float: this.#eps } },
    })
    return { normed, sum: total }
  }

  /**
   * y = x · Wᵀ + bias.
   * @param matrices their outputs follow one another, as W
   * @param biases likewise; none: no bias
   * @param rows only these rows of W
   */
  linear(
    x: string,
    matrices: readonly WeightTensor[],
    options: {
      readonly biases?: readonly WeightTensor[]
      readonly rows?: readonly number[]
      readonly as?: string
    } = {},
  ): string {
    const { biases = [], rows, as } = options
    const width = rows?.length ?? sum(matrices.map(({ shape }) => shape[0] ?? 0))
    if (this.#quantization === 'w8a8') {
      const weights = this.#file.addQuantised(matrices, rows)
      if (biases.length === 0) return quantisedProduct(this.#graph, this.#quantisedRows(x), weights, width, as)
      const product = quantisedProduct(this.#graph, this.#quantisedRows(x), weights, width)
      return this.#graph.add('Add', [product, this.#file.add(biases)], width, { as })
    }
    const inputs = [x, this.#file.add(matrices, rows)]
    if (biases.length > 0) inputs.push(this.#file.add(biases))
    return this.#graph.add('Gemm', inputs, width, { as, attributes: { transB: { int: 1 } } })
  }

  /** silu: x · sigmoid(x). gelu_tanh: x / 2 · (1 + tanh(√(2 / π) · (x + 0.044715 · x³))). */
  activation(x: string, kind: ModelSpec['activation']): string {
    const width = this.#graph.width(x)
    // FastGelu computes what ONNX's Gelu does with approximate = 'tanh', within 7e-7, and faster than its parts do.
    if (kind === 'gelu_tanh') return this.#graph.add('FastGelu', [x], width, { domain: MICROSOFT })
    return this.#graph.add('QuickGelu', [x], width, { domain: MICROSOFT, attributes: { alpha: { float: 1 } } })
  }

  multiply(a: string, b: string): string {
    return this.#graph.add('Mul', [a, b], this.#graph.width(a))
  }

  add(a: string, b: string, as?: string): string {
    return this.#graph.add('Add', [a, b], this.#graph.width(a), { as })
  }

  /** y = x · factor; x itself where it is 1. */
  scale(x: string, factor: number): string {
    return factor === 1 ? x : this.#graph.add('Mul', [x, this.#graph.float(factor)], this.#graph.width(x))
  }

  /** y = cap · tanh(x). */
  cappedTanh(x: string, cap: number, as?: string): string {
    const width = this.#graph.width(x)
    return this.#graph.add('Mul', [this.#graph.add('Tanh', [x], width), this.#graph.float(cap)], width, { as })
  }

  /** The values of each row of the first, then those of the next. */
  concat(parts: readonly string[], as?: string): string {
    const width = sum(parts.map((part) => this.#graph.width(part)))
    return this.#graph.add('Concat', parts, width, { as, attributes: { axis: { int: -1 } } })
  }

  build(): SessionPlan {
    const { inputs, outputs, nodes, constants, rowValues } = this.#graph
    const { weights, places, bytes } = this.#file
    const model = encodeModel({ inputs, outputs, weights, constants, nodes })
    return { model, weightBytes: bytes, places, rowValues }
  }

  /** The rows of x quantised, once for all matrices that they are multiplied with. */
  #quantisedRows(x: string): QuantisedRows {
    const rows = this.#quantised.get(x) ?? quantiseRows(this.#graph, x)
    this.#quantised.set(x, rows)
    return rows
  }
}
