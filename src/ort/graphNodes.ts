/**
 * The nodes of one session's graph and its values, each [rows][width], named and counted. It must never know weights, nor what the
 * nodes compute together.
 */

import { assert, sum } from '../util/math.ts'
import type { GraphConstant, GraphNode, GraphValue } from './onnx/model.ts'

export interface NodeOptions extends Partial<Pick<GraphNode, 'domain' | 'attributes'>> {
  /** name of the output; default: a fresh one */
  readonly as?: string | undefined
  /** only the next node reads it, so that its memory serves again */
  readonly brief?: boolean
}

export class GraphNodes {
  readonly inputs: GraphValue[] = []
  readonly outputs: GraphValue[] = []
  readonly nodes: GraphNode[] = []
  readonly #constants = new Map<string, GraphConstant>()
  readonly #widths = new Map<string, number>()
  readonly #brief = new Set<string>()

  get constants(): readonly GraphConstant[] {
    return [...this.#constants.values()]
  }

  /** values of a row that a run may hold at once: all but the brief ones, of which there are at most two */
  get rowValues(): number {
    const widths = (brief: boolean) =>
      [...this.#widths].filter(([name]) => this.#brief.has(name) === brief).map(([, width]) => width)
    return sum(widths(false)) + 2 * Math.max(0, ...widths(true))
  }

  input(name: string, width: number): string {
    this.inputs.push({ name, shape: ['rows', width] })
    return this.value(width, name)
  }

  output(name: string): void {
    this.outputs.push({ name, shape: ['rows', this.width(name)] })
  }

  /** A node of one output. @returns its name */
  add(operator: string, inputs: readonly string[], width: number, options: NodeOptions = {}): string {
    const { domain = '', attributes = {} } = options
    const output = this.value(width, options.as)
    if (options.brief) this.#brief.add(output)
    this.nodes.push({ operator, domain, inputs, outputs: [output], attributes })
    return output
  }

  /** A constant, once however often it is asked for. */
  constant(constant: GraphConstant): string {
    this.#constants.set(constant.name, constant)
    return constant.name
  }

  /** A constant scalar. */
  float(value: number): string {
    const bytes = new Uint8Array(Float32Array.of(value).buffer)
    return this.constant({ name: `f32 ${value}`, type: 'f32', shape: [], bytes })
  }

  /** Names a value that a node will have as an output. */
  value(width: number, name = `value${this.#widths.size}`): string {
    assert(!this.#widths.has(name), `one value ${name} in the graph`)
    this.#widths.set(name, width)
    return name
  }

  width(name: string): number {
    const width = this.#widths.get(name)
    assert(width !== undefined, `value ${name} of the graph`)
    return width
  }
}
