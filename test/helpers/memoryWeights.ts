/** A model's weights in memory, given tensor by tensor: for tests that need no files. */

import type { ModelTensor, ModelWeights } from '../../src/backend/backend.ts'
import type { WeightRole } from '../../src/models/weightNames.ts'
import { WeirError } from '../../src/protocol/errors.ts'
import type { WeightRows } from '../../src/weights/format.ts'
import { rowBytes, sliceRows } from '../../src/weights/rowSlices.ts'

export interface MemoryTensor {
  readonly role: WeightRole
  /** default: 'model' */
  readonly part?: 'model' | 'mtp'
  readonly layer?: number | undefined
  /** default: part, layer and role, "model.0.q" */
  readonly name?: string
  /** [N, K] or [K] */
  readonly shape: readonly number[]
  /** f32 values, row-major; or a matrix in any format */
  readonly values: Float32Array | readonly number[] | WeightRows
}

export interface MemoryOptions {
  /** rows of a matrix that a sink gets at most, a multiple of 32; default 32, so that most matrices come in several chunks */
  readonly chunkRows?: number
}

/** Poisons what a sink has kept for longer than it may: bytes are overwritten once its promise has settled. */
const POISON = 0xff

export function weightsOf(given: readonly MemoryTensor[], { chunkRows = 32 }: MemoryOptions = {}): ModelWeights {
  const held = given.map((tensor) => ({ tensor: modelTensor(tensor), rows: rowsOf(tensor) }))
  return {
    tensors: held.map(({ tensor }) => tensor),
    read: async (tensors, sink, options = {}) => {
      const { signal, onProgress } = options
      const asked = tensors.map(({ name }) => {
        const found = held.find(({ tensor }) => tensor.name === name)
        if (!found) throw new Error(`no tensor ${name}`)
        return found
      })
      const total = asked.reduce((sum, { rows }) => sum + bytesOf(rows), 0)
      let loaded = 0
      for (const { tensor, rows } of asked) {
        for (let first = 0; first < rows.count; first += chunkRows) {
          if (signal?.aborted) throw new WeirError('ABORTED', 'loading was aborted', {}, { cause: signal.reason })
          const { codes, scales, ...chunk } = sliceRows(rows, first, Math.min(chunkRows, rows.count - first))
          const copy = { ...chunk, codes: codes.slice(), scales: scales.slice() }
          await sink(tensor, first, copy)
          copy.codes.fill(POISON)
          copy.scales.fill(POISON)
          loaded += bytesOf(copy)
          onProgress?.({ file: 'memory', loaded, total })
        }
      }
    },
  }
}

function modelTensor({ role, part = 'model', layer, name, shape, values }: MemoryTensor): ModelTensor {
  const format = 'format' in values ? values.format : ({ codes: 'f32' } as const)
  return {
    role,
    part,
    layer,
    name: name ?? [part, layer, role].filter((x) => x !== undefined).join('.'),
    shape,
    format,
  }
}

function rowsOf({ shape, values }: MemoryTensor): WeightRows {
  const inputs = shape.at(-1) ?? 0
  const count = shape.length === 1 ? 1 : (shape[0] ?? 0)
  if ('format' in values) return values
  const copy = Float32Array.from(values)
  if (copy.length !== inputs * count) throw new Error(`[${shape}] are not ${copy.length} values`)
  const codes = new Uint8Array(copy.buffer)
  return { format: { codes: 'f32' }, inputs, count, codes, scales: new Uint32Array(0) }
}

function bytesOf({ format, inputs, count }: WeightRows): number {
  return count * rowBytes(format, inputs)
}
