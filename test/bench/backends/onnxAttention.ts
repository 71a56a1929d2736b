/**
 * Attention with rotation and cache, in the two forms that ONNX Runtime is fast at. Neither masks anything but the future: there is
 * no padding, since all prompts of a batch have one length.
 *
 * https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md, https://onnx.ai/onnx/operators/onnx__Attention.html
 */

import type { ModelSpec } from '../../../src/models/modelSpec.ts'
import { DATA_TYPE, type GraphNode, type GraphValue, MICROSOFT } from '../../../src/ort/onnx/model.ts'
import { ropeTable } from '../../../src/util/ropeTable.ts'
import type { Graph } from './onnxGraph.ts'

/** The operator of one layer, from what is common to all layers. */
export interface Attention {
  /** of the graph, beside ids and cache */
  readonly inputs: readonly GraphValue[]
  /** @param q @param k @param v each [batch][rows][heads × headDim] @param past names of the cache's keys and values */
  node(q: string, k: string, v: string, past: readonly string[]): Omit<GraphNode, 'outputs'>
}

export type AttentionForm = (graph: Graph, spec: ModelSpec) => Attention

/** ONNX's own operator: on the processor several times as fast at prompts as the other. */
export const standardAttention: AttentionForm = (graph, spec) => {
  const tables = rotationTables(graph, spec)
  // A single position is that of the first row.
  const first = graph.node('Shape', ['past_key_values.0.key'], { start: { int: 2 }, end: { int: 3 } })
  const rotated = (x: string, heads: number): string => {
    return graph.node('RotaryEmbedding', [x, first, ...tables], { num_heads: { int: heads } }, { domain: MICROSOFT })
  }
  return {
    inputs: [],
    node: (q, k, v, past) => ({
      operator: 'Attention',
      inputs: [rotated(q, spec.numHeads), rotated(k, spec.numKvHeads), v, '', ...past],
      attributes: {
        q_num_heads: { int: spec.numHeads },
        kv_num_heads: { int: spec.numKvHeads },
        scale: { float: 1 / Math.sqrt(spec.headDim) },
        is_causal: { int: 1 },
      },
    }),
  }
}

/** ONNX Runtime's operator, which rotates by itself: what its WebGPU backend has. */
export const groupQueryAttention: AttentionForm = (graph, spec) => {
  const tables = rotationTables(graph, spec)
  const { seqlens, total } = lengths(graph)
  return {
    inputs: [{ name: 'attention_mask', shape: ['batch_size', 'total_sequence_length'], type: DATA_TYPE.int64 }],
    node: (q, k, v, past) => ({
      operator: 'GroupQueryAttention',
      domain: MICROSOFT,
      inputs: [q, k, v, ...past, seqlens, total, ...tables],
      attributes: {
        num_heads: { int: spec.numHeads },
        kv_num_heads: { int: spec.numKvHeads },
        scale: { float: 1 / Math.sqrt(spec.headDim) },
        do_rotary: { int: 1 },
      },
    }),
  }
}

/** From the mask: last key of each row [batch], keys in all [], int32. */
function lengths(graph: Graph): { seqlens: string; total: string } {
  const int32 = { to: { int: DATA_TYPE.int32 } }
  const ones = graph.node('ReduceSum', ['attention_mask', graph.int64([1])], { keepdims: { int: 0 } })
  const seqlens = graph.node('Cast', [graph.node('Sub', [ones, graph.int64([1])])], int32)
  const one = graph.node('Constant', [], { value_int: { int: 1 } })
  const width = graph.node('Gather', [graph.node('Shape', ['attention_mask']), one])
  return { seqlens, total: graph.node('Cast', [width], int32) }
}

/** Cosines and sines, each [positions][headDim / 2]. */
function rotationTables(graph: Graph, spec: ModelSpec): string[] {
  const table = ropeTable(spec.ropeTheta, spec.headDim, spec.maxPositions)
  const shape = [spec.maxPositions, spec.headDim / 2]
  return [0, 1].map((part) => {
    const values = Float32Array.from({ length: table.length / 2 }, (_, i) => table[2 * i + part] ?? 0)
    return graph.weight({ shape, values })
  })
}
