/**
 * A Qwen3 model as one ONNX graph for transformers.js, in a form that favours it: the fastest attention operator, norms joined with
 * residual sums, no mask for padding, and logits of the last position alone.
 *
 * Inputs, outputs and their sizes are named as in the exports of Optimum (https://github.com/huggingface/optimum-onnx).
 */

import { encodeModel, type Graph as GraphData, type GraphValue, MICROSOFT } from '../../../src/ort/onnx/model.ts'
import type { Checkpoint, Tensor } from './checkpoint.ts'
import { type Attention, attentionOperator } from './onnxAttention.ts'
import { Graph } from './onnxGraph.ts'

/** Of ONNX's own operators: the first with attention. */
const OPERATORS = 23

export interface OnnxModel {
  /** bytes of the ONNX model */
  readonly model: Uint8Array
  /** bytes of the external file */
  readonly weights: Uint8Array
}

/** @throws Error for a model without QK-norm or with biases, which the graph does not have */
export function onnxModel(checkpoint: Checkpoint): OnnxModel {
  const { spec } = checkpoint
  if (!spec.qkNorm || spec.qkvBias) throw new Error(`the graph is for Qwen3 models, this one is ${spec.architecture}`)
  const graph = new Graph()
  const operator = attentionOperator(graph, spec)
  const embed = checkpoint.tensor('model.embed_tokens.weight')
  let x = graph.node('Gather', [graph.weight(embed), 'input_ids'])
  let normed = norm(graph, checkpoint, x, 'model.layers.0.input_layernorm')
  for (let layer = 0; layer < spec.numLayers; layer++) {
    const prefix = `model.layers.${layer}`
    const attended = attention(graph, checkpoint, layer, normed, operator)
    const between = residualNorm(graph, checkpoint, attended, x, `${prefix}.post_attention_layernorm`)
    const after = layer + 1 < spec.numLayers ? `model.layers.${layer + 1}.input_layernorm` : 'model.norm'
    const next = residualNorm(graph, checkpoint, mlp(graph, checkpoint, prefix, between.normed), between.sum, after)
    x = next.sum
    normed = next.normed
  }
  const last = graph.node('Slice', [normed, graph.int64([-1]), graph.int64([2 ** 31]), graph.int64([1])])
  const head = spec.tiedEmbeddings ? embed : checkpoint.tensor('lm_head.weight')
  graph.node('MatMul', [last, graph.weight(transposed(head))], {}, { as: 'logits' })
  return { model: encodeModel(described(graph, checkpoint), OPERATORS), weights: graph.weightBytes() }
}

/** QK-norm, rotation, cache, causal attention and the projection after it. */
function attention(graph: Graph, checkpoint: Checkpoint, layer: number, normed: string, operator: Attention): string {
  const { numHeads, numKvHeads, headDim } = checkpoint.spec
  const prefix = `model.layers.${layer}.self_attn`
  const head = (name: 'q' | 'k', heads: number): string => {
    const x = linear(graph, checkpoint, normed, `${prefix}.${name}_proj`)
    const split = graph.node('Reshape', [x, graph.int64([0, 0, heads, headDim])])
    const each = norm(graph, checkpoint, split, `${prefix}.${name}_norm`)
    return graph.node('Reshape', [each, graph.int64([0, 0, heads * headDim])])
  }
  const v = linear(graph, checkpoint, normed, `${prefix}.v_proj`)
  const past = [`past_key_values.${layer}.key`, `past_key_values.${layer}.value`]
  const output = graph.name()
  graph.nodes.push({
    ...operator(head('q', numHeads), head('k', numKvHeads), v, past),
    outputs: [output, `present.${layer}.key`, `present.${layer}.value`],
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

function described({ nodes, weights }: Graph, { spec }: Checkpoint): GraphData {
  const { numLayers, numKvHeads, headDim, vocabSize } = spec
  const cache = (name: string, length: string): GraphValue[] =>
    Array.from({ length: numLayers }, (_, layer) =>
      ['key', 'value'].map((part) => ({
        name: `${name}.${layer}.${part}`,
        shape: ['batch_size', numKvHeads, length, headDim],
      })),
    ).flat()
  return {
    inputs: [
      { name: 'input_ids', shape: ['batch_size', 'sequence_length'], type: 'int64' },
      ...cache('past_key_values', 'past_sequence_length'),
    ],
    outputs: [{ name: 'logits', shape: ['batch_size', 1, vocabSize] }, ...cache('present', 'total_sequence_length')],
    weights,
    nodes,
  }
}
