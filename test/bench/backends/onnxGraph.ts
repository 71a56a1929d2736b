/** A graph in the making: nodes, and weights with their values. It must never know what a graph computes. */

import type { Attribute, GraphNode, GraphWeight } from '../../../src/ort/onnx/model.ts'
import type { Tensor } from './checkpoint.ts'

type Attributes = Readonly<Record<string, Attribute>>

/** Nodes and weights of a graph as they are added. */
export class Graph {
  readonly nodes: GraphNode[] = []
  readonly weights: GraphWeight[] = []
  readonly #values: Float32Array[] = []
  #size = 0
  #names = 0

  /** @returns the name of the first output */
  node(
    operator: string,
    inputs: readonly string[],
    attributes: Attributes = {},
    { domain = '', as = this.name() } = {},
  ): string {
    this.nodes.push({ operator, domain, inputs, outputs: [as], attributes })
    return as
  }

  int64(values: readonly number[]): string {
    return this.node('Constant', [], { value_ints: { ints: values } })
  }

  weight({ shape, values }: Tensor): string {
    const name = this.name()
    this.weights.push({ name, type: 'f32', shape, first: 4 * this.#size })
    this.#values.push(values)
    this.#size += values.length
    return name
  }

  weightBytes(): Uint8Array {
    const all = new Float32Array(this.#size)
    this.#values.forEach((values, index) => {
      all.set(values, (this.weights[index]?.first ?? 0) / 4)
    })
    return new Uint8Array(all.buffer)
  }

  name(): string {
    return `value${this.#names++}`
  }
}
