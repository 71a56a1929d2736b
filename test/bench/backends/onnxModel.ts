/**
 * A Qwen3 model as one ONNX graph, in the form in which transformers.js runs models fastest: ONNX Runtime's own attention
 * operator with rotation and cache in it, norms joined with residual sums, and logits of the last position alone.
 *
 * Inputs and outputs are named as in the exports of Optimum (https://github.com/huggingface/optimum-onnx); operators of the domain
 * com.microsoft: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
 */

import {
  type Attribute,
  DATA_TYPE,
  encodeModel,
  type GraphNode,
  type GraphValue,
  type GraphWeight,
  MICROSOFT,
  WEIGHTS_FILE,
} from '../../../src/ort/onnx/model.ts'
import { ropeTable } from '../../../src/util/ropeTable.ts'
import type { Checkpoint, Tensor } from './checkpoint.ts'

/** Files by name, relative to the folder of the graph. */
export type OnnxFiles = Readonly<Record<string, Uint8Array>>

type Attributes = Readonly<Record<string, Attribute>>

/** @throws Error for a model without QK-norm or with biases, which the graph does not have */
export function onnxFiles(checkpoint: Checkpoint): OnnxFiles {
  const { spec } = checkpoint
  if (!spec.qkNorm || spec.qkvBias) throw new Error(`the graph is for Qwen3 models, this one is ${spec.architecture}`)
  const graph = new Graph()
  const { seqlens, total } = lengths(graph)
  const tables = rotationTables(graph, checkpoint)
  const embed = checkpoint.tensor('model.embed_tokens.weight')
  let x = graph.node('Gather', [graph.weight(embed), 'input_ids'])
  let normed = norm(graph, checkpoint, x, 'model.layers.0.input_layernorm')
  for (let layer = 0; layer < spec.numLayers; layer++) {
    const prefix = `model.layers.${layer}`
    const attended = attention(graph, checkpoint, layer, normed, [seqlens, total, ...tables])
    const between = residualNorm(graph, checkpoint, attended, x, `${prefix}.post_attention_layernorm`)
    const after = layer + 1 < spec.numLayers ? `model.layers.${layer + 1}.input_layernorm` : 'model.norm'
    const next = residualNorm(graph, checkpoint, mlp(graph, checkpoint, prefix, between.normed), between.sum, after)
    x = next.sum
    normed = next.normed
  }
  const last = graph.node('Slice', [normed, graph.int64([-1]), graph.int64([2 ** 31]), graph.int64([1])])
  const head = spec.tiedEmbeddings ? embed : checkpoint.tensor('lm_head.weight')
  graph.node('MatMul', [last, graph.weight(transposed(head))], {}, { as: 'logits' })
  return { 'model.onnx': encodeModel(described(graph, checkpoint)), [WEIGHTS_FILE]: graph.weightBytes() }
}

/** Nodes and weights of a graph as they are added. */
class Graph {
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
    this.weights.push({ name, shape, first: this.#size })
    this.#values.push(values)
    this.#size += values.length
    return name
  }

  weightBytes(): Uint8Array {
    const all = new Float32Array(this.#size)
    this.#values.forEach((values, index) => {
      all.set(values, this.weights[index]?.first ?? 0)
    })
    return new Uint8Array(all.buffer)
  }

  name(): string {
    return `value${this.#names++}`
  }
}

/** What the attention operator wants to know of lengths, from the mask: last key of each row [batch], keys in all [], int32. */
function lengths(graph: Graph): { seqlens: string; total: string } {
  const int32 = { to: { int: DATA_TYPE.int32 } }
  const ones = graph.node('ReduceSum', ['attention_mask', graph.int64([1])], { keepdims: { int: 0 } })
  const seqlens = graph.node('Cast', [graph.node('Sub', [ones, graph.int64([1])])], int32)
  const one = graph.node('Constant', [], { value_int: { int: 1 } })
  const width = graph.node('Gather', [graph.node('Shape', ['attention_mask']), one])
  return { seqlens, total: graph.node('Cast', [width], int32) }
}

/** Cosines and sines, each [positions][headDim / 2]. */
function rotationTables(graph: Graph, { spec }: Checkpoint): string[] {
  const table = ropeTable(spec.ropeTheta, spec.headDim, spec.maxPositions)
  const shape = [spec.maxPositions, spec.headDim / 2]
  return [0, 1].map((part) => {
    const values = Float32Array.from({ length: table.length / 2 }, (_, i) => table[2 * i + part] ?? 0)
    return graph.weight({ shape, values })
  })
}

function attention(
  graph: Graph,
  checkpoint: Checkpoint,
  layer: number,
  normed: string,
  rest: readonly string[],
): string {
  const { numHeads, numKvHeads, headDim } = checkpoint.spec
  const prefix = `model.layers.${layer}.self_attn`
  const headNorm = (name: 'q' | 'k', heads: number): string => {
    const x = linear(graph, checkpoint, normed, `${prefix}.${name}_proj`)
    const split = graph.node('Reshape', [x, graph.int64([0, 0, heads, headDim])])
    const each = norm(graph, checkpoint, split, `${prefix}.${name}_norm`)
    return graph.node('Reshape', [each, graph.int64([0, 0, heads * headDim])])
  }
  const output = graph.name()
  graph.nodes.push({
    operator: 'GroupQueryAttention',
    domain: MICROSOFT,
    inputs: [
      headNorm('q', numHeads),
      headNorm('k', numKvHeads),
      linear(graph, checkpoint, normed, `${prefix}.v_proj`),
      `past_key_values.${layer}.key`,
      `past_key_values.${layer}.value`,
      ...rest,
    ],
    outputs: [output, `present.${layer}.key`, `present.${layer}.value`],
    attributes: {
      num_heads: { int: numHeads },
      kv_num_heads: { int: numKvHeads },
      scale: { float: 1 / Math.sqrt(headDim) },
      do_rotary: { int: 1 },
    },
  })
  return linear(graph, checkpoint, output, `${prefix}.o_proj`)
}

/** down(silu(gate) · up) */
function mlp(graph: Graph, checkpoint: Checkpoint, prefix: string, x: string): string {
  const gate = linear(graph, checkpoint, x, `${prefix}.mlp.gate_proj`)
  const silu = graph.node('QuickGelu', [gate], { alpha: { float: 1 } }, { domain: MICROSOFT })
  const product = graph.node('Mul', [silu, linear(graph, checkpoint, x, `${prefix}.mlp.up_proj`)])
  return linear(graph, checkpoint, product, `${prefix}.mlp.down_proj`)
}

function linear(graph: Graph, checkpoint: Checkpoint, x: string, name: string): string {
  return graph.node('MatMul', [x, graph.weight(transposed(checkpoint.tensor(`${name}.weight`)))])
}

function norm(graph: Graph, checkpoint: Checkpoint, x: string, name: string): string {
  const attributes = { axis: { int: -1 }, epsilon: { float: checkpoint.spec.rmsNormEps } }
  return graph.node('SimplifiedLayerNormalization', [x, graph.weight(checkpoint.tensor(`${name}.weight`))], attributes)
}

/** sum = x + residual, and its norm */
function residualNorm(
  graph: Graph,
  checkpoint: Checkpoint,
  x: string,
  residual: string,
  name: string,
): { normed: string; sum: string } {
  const [normed, total] = [graph.name(), graph.name()]
  graph.nodes.push({
    operator: 'SkipSimplifiedLayerNormalization',
    domain: MICROSOFT,
    inputs: [x, residual, graph.weight(checkpoint.tensor(`${name}.weight`))],
    outputs: [normed, '', '', total],
    attributes: { epsilon: { float: checkpoint.spec.rmsNormEps } },
  })
  return { normed, sum: total }
}

/** [n][k] as [k][n], which MatMul multiplies by */
function transposed({ shape, values }: Tensor): Tensor {
  const [n = 0, k = 0] = shape
  const turned = new Float32Array(values.length)
  for (let row = 0; row < n; row++) {
    for (let column = 0; column < k; column++) turned[column * n + row] = values[row * k + column] ?? 0
  }
  return { shape: [k, n], values: turned }
}

function described({ nodes, weights }: Graph, { spec }: Checkpoint) {
  const { numLayers, numKvHeads, headDim, vocabSize } = spec
  const cache = (name: string, length: string): GraphValue[] =>
    Array.from({ length: numLayers }, (_, layer) =>
      ['key', 'value'].map((part) => ({
        name: `${name}.${layer}.${part}`,
        shape: ['batch_size', numKvHeads, length, headDim],
      })),
    ).flat()
  const { int64 } = DATA_TYPE
  return {
    inputs: [
      { name: 'input_ids', shape: ['batch_size', 'sequence_length'], type: int64 },
      { name: 'attention_mask', shape: ['batch_size', 'total_sequence_length'], type: int64 },
      ...cache('past_key_values', 'past_sequence_length'),
    ],
    outputs: [{ name: 'logits', shape: ['batch_size', 1, vocabSize] }, ...cache('present', 'total_sequence_length')],
    weights,
    nodes,
  }
}
