/** The values of a model's tensors, read through the interface that backends use; and what every sink may rely on, checked. */

import { expect } from 'vitest'
import type { ModelTensor, ModelWeights, ReadOptions } from '../../src/backend/backend.ts'
import { dequantiseRows } from '../../src/weights/dequantise.ts'
import { sameFormat } from '../../src/weights/format.ts'
import { rowBytes } from '../../src/weights/rowSlices.ts'

const CHUNK_BYTES = 4 * 1024 * 1024

/** f32 values by name, row-major. */
export async function readValues(
  weights: ModelWeights,
  tensors: readonly ModelTensor[] = weights.tensors,
  options?: ReadOptions,
): Promise<Map<string, Float32Array>> {
  const values = new Map<string, Float32Array>()
  const rowsDone = new Map<string, number>()
  const order: string[] = []
  let taking = 0
  const sink: Parameters<ModelWeights['read']>[1] = async (tensor, firstRow, rows) => {
    expect(++taking).toBe(1)
    const { name, shape, format } = tensor
    const inputs = shape.at(-1) ?? 0
    const all = shape.length === 1 ? 1 : (shape[0] ?? 0)
    expect(rows.inputs).toBe(inputs)
    expect(sameFormat(rows.format, format)).toBe(true)
    expect([firstRow, firstRow % 32]).toEqual([rowsDone.get(name) ?? 0, 0])
    expect(rows.count * rowBytes(format, inputs) <= CHUNK_BYTES || rows.count <= 32 || all === 1).toBe(true)
    if (firstRow === 0) {
      order.push(name)
      values.set(name, new Float32Array(all * inputs).fill(Number.NaN))
    }
    rowsDone.set(name, firstRow + rows.count)
    // Bytes are the sink's until it settles, and not a moment less.
    await new Promise((resolve) => setImmediate(resolve))
    dequantiseRows(rows, values.get(name) ?? new Float32Array(0), firstRow * inputs)
    taking--
  }
  await weights.read(tensors, sink, options)
  expect(order).toEqual(tensors.map(({ name }) => name))
  for (const { name, shape } of tensors) expect(rowsDone.get(name)).toBe(shape.length === 1 ? 1 : shape[0])
  return values
}
