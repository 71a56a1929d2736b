/**
 * Builds the graph of one session from the layers of a transformer, and notes which tensor of the checkpoint goes where in its
 * external file. Matrices stay [N][K], as checkpoints store them. It must never know how a model arranges the layers.
 */

import type { WeightTensor } from '../models/weightNames.ts'
import { assert, sum } from '../util/math.ts'
import { encodeModel, type GraphNode, type GraphValue, type GraphWeight, MICROSOFT } from './onnx/model.ts'

/** Where a tensor's values go in the external file of a session. */
export interface WeightPlace {
  readonly tensor: string
  /** in values */
  readonly first: number
  /** values of the whole tensor */
  readonly size: number
  /** values of one row of a matrix; 1 for a vector */
  readonly rowSize: number
  /** only these rows of the matrix, in this order; undefined: all */
  readonly rows: readonly number[] | undefined
}

/** A session before there are weights. */
export interface SessionPlan {
  /** bytes of the ONNX model */
  readonly model: Uint8Array
  /** values of the external file */
  readonly size: number
  readonly places: readonly WeightPlace[]
  /** width of every value of the graph, inputs and outputs included: f32 values per row that a run may hold at once */
  readonly rowValues: number
}

interface NodeOptions extends Partial<Pick<GraphNode, 'domain' | 'attributes'>> {
  /** name of the first output; default: a fresh one */
  readonly as?: string | undefined
}

export class GraphBuilder {
  readonly #eps: number
  readonly #inputs: GraphValue[] = []
  readonly #outputs: GraphValue[] = []
  readonly #weights: GraphWeight[] = []
  readonly #nodes: GraphNode[] = []
  readonly #places: WeightPlace[] = []
  /** width of each value of the graph: [rows][width] */
  readonly #widths = new Map<string, number>()
  #size = 0

  /** @param eps of every RMSNorm */
  constructor(eps: number) {
    this.#eps = eps
  }

  input(name: string, width: number): string {
    this.#inputs.push({ name, shape: ['rows', width] })
    return this.#value(width, name)
  }

  output(name: string): void {
    this.#outputs.push({ name, shape: ['rows', this.#width(name)] })
  }

  /** y = x / √(mean(x²) + ε) · weight, row by row. */
  norm(x: string, weight: WeightTensor, as?: string): string {
    const attributes = { axis: { int: -1 }, epsilon: { float: this.#eps } }
    const inputs = [x, this.#weight([weight])]
    return this.#node('SimplifiedLayerNormalization', inputs, this.#width(x), { as, attributes })
  }

  /** sum = x + residual, and its norm. */
  residualNorm(
    x: string,
    residual: string,
    weight: WeightTensor,
    names: { readonly normed?: string; readonly sum?: string } = {},
  ): { readonly normed: string; readonly sum: string } {
    const width = this.#width(x)
    const normed = this.#value(width, names.normed)
    const total = this.#value(width, names.sum)
    this.#nodes.push({
      operator: 'SkipSimplifiedLayerNormalization',
      domain: MICROSOFT,
      inputs: [x, residual, this.#weight([weight])],
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
    const inputs = [x, this.#weight(matrices, rows)]
    if (biases.length > 0) inputs.push(this.#weight(biases))
    const width = rows?.length ?? sum(matrices.map(({ shape }) => shape[0] ?? 0))
    return this.#node('Gemm', inputs, width, { as, attributes: { transB: { int: 1 } } })
  }

  /** y = x · sigmoid(x). */
  silu(x: string): string {
    return this.#node('QuickGelu', [x], this.#width(x), { domain: MICROSOFT, attributes: { alpha: { float: 1 } } })
  }

  multiply(a: string, b: string): string {
    return this.#node('Mul', [a, b], this.#width(a))
  }

  /** The values of each row of `a`, then those of `b`. */
  concat(a: string, b: string): string {
    return this.#node('Concat', [a, b], this.#width(a) + this.#width(b), { attributes: { axis: { int: -1 } } })
  }

  build(): SessionPlan {
    const graph = { inputs: this.#inputs, outputs: this.#outputs, weights: this.#weights, nodes: this.#nodes }
    const rowValues = sum([...this.#widths.values()])
    return { model: encodeModel(graph), size: this.#size, places: this.#places, rowValues }
  }

  #node(operator: string, inputs: readonly string[], width: number, options: NodeOptions = {}): string {
    const { domain = '', attributes = {} } = options
    const output = this.#value(width, options.as)
    this.#nodes.push({ operator, domain, inputs, outputs: [output], attributes })
    return output
  }

  /** Tensors of equal rows (or vectors), one below the other. */
  #weight(tensors: readonly WeightTensor[], rows?: readonly number[]): string {
    const first = this.#size
    const inner = tensors[0]?.shape.slice(1) ?? []
    for (const { name, shape } of tensors) {
      assert(shape.slice(1).join() === inner.join(), 'stacked matrices have the same inputs')
      const size = shape.reduce((product, length) => product * length, 1)
      const rowSize = shape[1] ?? 1
      this.#places.push({ tensor: name, first: this.#size, size, rowSize, rows })
      this.#size += rows ? rows.length * rowSize : size
    }
    const count = rows?.length ?? sum(tensors.map(({ shape }) => shape[0] ?? 0))
    const name = `weight${this.#weights.length}`
    this.#weights.push({ name, shape: [count, ...inner], first })
    return name
  }

  #value(width: number, name = `value${this.#widths.size}`): string {
    assert(!this.#widths.has(name), `one value ${name} in the graph`)
    this.#widths.set(name, width)
    return name
  }

  #width(name: string): number {
    const width = this.#widths.get(name)
    assert(width !== undefined, `value ${name} of the graph`)
    return width
  }
}
