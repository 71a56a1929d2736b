/**
 * Attention with rotation and cache, as ONNX's own operator. It masks nothing but the future: there is no padding, since all prompts
 * of a batch have one length. ONNX Runtime's GroupQueryAttention is the usual choice; on the processor it takes seven times as long
 * for a prompt of 512 tokens, and on a software WebGPU adapter it is wrong from 32 rows on.
 *
 * https://onnx.ai/onnx/operators/onnx__Attention.html
 */

import type { ModelSpec } from '../../../src/models/modelSpec.ts'
import { ropeFrequencies } from '../../../src/models/rope.ts'
import { type GraphNode, MICROSOFT } from '../../../src/ort/onnx/model.ts'
import { at } from '../../../src/util/math.ts'
import { ropeTable } from '../../../src/util/ropeTable.ts'
import type { Graph } from './onnxGraph.ts'

/**
 * The operator of a layer.
 * @param q @param k @param v each [batch][rows][heads × headDim] @param past names of the cache's keys and values
 */
export type Attention = (q: string, k: string, v: string, past: readonly string[]) => Omit<GraphNode, 'outputs'>

/** Adds what is common to all layers. @returns the operator of each */
export function attentionOperator(graph: Graph, spec: ModelSpec): Attention {
  const tables = rotationTables(graph, spec)
  // A single position is that of the first row.
  const first = graph.node('Shape', ['past_key_values.0.key'], { start: { int: 2 }, end: { int: 3 } })
  const rotated = (x: string, heads: number): string => {
    return graph.node('RotaryEmbedding', [x, first, ...tables], { num_heads: { int: heads } }, { domain: MICROSOFT })
  }
  return (q, k, v, past) => ({
    operator: 'Attention',
    inputs: [rotated(q, spec.numHeads), rotated(k, spec.numKvHeads), v, '', ...past],
    attributes: {
      q_num_heads: { int: spec.numHeads },
      kv_num_heads: { int: spec.numKvHeads },
      scale: { float: 1 / Math.sqrt(spec.headDim) },
      is_causal: { int: 1 },
    },
  })
}

/** Cosines and sines, each [positions][headDim / 2]. */
function rotationTables(graph: Graph, spec: ModelSpec): string[] {
  const table = ropeTable(ropeFrequencies(at(spec.ropes, 0), spec.maxPositions).frequencies, spec.maxPositions)
  const shape = [spec.maxPositions, spec.headDim / 2]
  return [0, 1].map((part) => {
    const values = Float32Array.from({ length: table.length / 2 }, (_, i) => table[2 * i + part] ?? 0)
    return graph.weight({ shape, values })
  })
}
