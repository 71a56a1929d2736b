/**
 * Matrix products of 8-bit integers, W8A8: weights with a scale per output, and each row of x quantised by its own largest value
 * when it is computed, so that its bits depend on that row alone. Sums are exact integers.
 *
 * Rows are unsigned with zero point 128, since the kernels of ONNX Runtime's WebAssembly build for signed ones are ten times slower.
 * Its other operators do not serve: DynamicQuantizeMatMul has one scale for all rows, QGemm takes twice as long for one row.
 */

import type { GraphNodes } from './graphNodes.ts'
import { ELEMENT_TYPES, type ElementType, MICROSOFT } from './onnx/model.ts'

/** Names of the values of quantised rows: x ≈ scales · (values - 128). */
export interface QuantisedRows {
  readonly values: string // [rows][K] uint8, 1…255
  readonly scales: string // [rows][1] f32; NaN for a row with a value that is not finite
}

/** A scale that a row of zeros can be divided by. */
const LEAST_MAGNITUDE = 1e-30
const LARGEST = 127
const ZERO_POINT = 128

/** Quantises each row of x by scale = largest magnitude / 127. */
export function quantiseRows(graph: GraphNodes, x: string): QuantisedRows {
  const width = graph.width(x)
  const axis = graph.constant({
    name: 'axis',
    type: 'int64',
    shape: [1],
    bytes: new Uint8Array(BigInt64Array.of(-1n).buffer),
  })
  const keepdims = { attributes: { keepdims: { int: 1 } } }
  const largest = graph.add('ReduceMax', [graph.add('Abs', [x], width, { brief: true }), axis], 1, keepdims)
  const positive = graph.add('Max', [largest, graph.float(LEAST_MAGNITUDE)], 1)
  const scale = graph.add('Mul', [positive, graph.float(1 / LARGEST)], 1)
  const divided = graph.add('Div', [x, scale], width, { brief: true })
  const rounded = graph.add('Round', [divided], width, { brief: true })
  const shifted = graph.add('Add', [rounded, graph.float(ZERO_POINT)], width, { brief: true })
  const values = graph.add('Cast', [shifted], width, { attributes: { to: { int: ELEMENT_TYPES.uint8 } } })
  // ReduceMax overlooks a NaN; 0 · sum is 0, or NaN where a value is not finite.
  const nothing = graph.add('Mul', [graph.add('ReduceSum', [x, axis], 1, keepdims), graph.float(0)], 1)
  return { values, scales: graph.add('Add', [scale, nothing], 1) }
}

/**
 * y = rows · W, [rows][N] f32.
 * @param weights names of W, [K][N] int8, and of the scale of each column, [N] f32
 */
export function quantisedProduct(
  graph: GraphNodes,
  rows: QuantisedRows,
  weights: { readonly values: string; readonly scales: string },
  width: number,
  as?: string,
): string {
  const inputs = [
    rows.values,
    weights.values,
    graph.float(1), // the scales of rows follow: the operator knows one for all
    weights.scales,
    small(graph, 'uint8', ZERO_POINT),
    small(graph, 'int8', 0),
  ]
  const product = graph.add('MatMulIntegerToFloat', inputs, width, { domain: MICROSOFT, brief: true })
  return graph.add('Mul', [product, rows.scales], width, { as })
}

function small(graph: GraphNodes, type: Extract<ElementType, 'uint8' | 'int8'>, value: number): string {
  return graph.constant({ name: `${type} ${value}`, type, shape: [], bytes: Uint8Array.of(value) })
}
