/**
 * Where each tensor of a checkpoint goes on the GPU: matrices in words of four inputs, [K/4][N], queries, keys and values side
 * by side in one; norms as f32. Known from the header alone, so that every byte is planned before a weight is fetched.
 */

import type { BufferPlan } from '../gpu/arena.ts'
import { type WeightDtype, weightBytes } from '../kernels/weights.ts'
import type { ModelSpec } from '../models/modelSpec.ts'
import { type CheckedTensor, checkTensors, type TensorHeader } from '../models/weightNames.ts'
import { assert } from '../util/math.ts'

export type TensorHeaders = ReadonlyMap<string, TensorHeader>

/** Part of a matrix: the rows of one tensor become `columns` columns from `firstColumn` on. */
export interface MatrixPart {
  readonly kind: 'matrix'
  readonly buffer: string
  readonly dtype: WeightDtype
  /** inputs: K */
  readonly inputs: number
  /** columns of the whole matrix: N */
  readonly columns: number
  readonly firstColumn: number
}

export interface VectorPart {
  readonly kind: 'vector'
  readonly buffer: string
  readonly dtype: WeightDtype
  readonly size: number
}

export type WeightPart = MatrixPart | VectorPart

const DTYPES = { BF16: 'bf16', F16: 'f16', F32: 'f32' } as const

/**
 * The place of every tensor the engine needs, by tensor name; the drafter's only `withDrafter`.
 * @throws MODEL_FORMAT when the header is not what config.json says
 */
export function weightParts(spec: ModelSpec, withDrafter: boolean, tensors: TensorHeaders): Map<string, WeightPart> {
  const checked = checkTensors(spec, tensors).filter((tensor) => withDrafter || tensor.part === 'model')
  return new Map(checked.map((tensor) => [tensor.name, partOf(spec, tensor)]))
}

/** The weight buffers. */
export function weightBuffers(spec: ModelSpec, withDrafter: boolean, tensors: TensorHeaders): BufferPlan[] {
  const plans = new Map<string, BufferPlan>()
  for (const part of weightParts(spec, withDrafter, tensors).values()) {
    const bytes = part.kind === 'vector' ? part.size * 4 : weightBytes(part.dtype, part.columns, part.inputs)
    plans.set(part.buffer, { name: part.buffer, bytes, use: 'storage' })
  }
  return [...plans.values()]
}

/** How the matrix in each weight buffer is stored. */
export function weightDtypes(parts: ReadonlyMap<string, WeightPart>): (buffer: string) => WeightDtype {
  const dtypes = new Map([...parts.values()].map((part) => [part.buffer, part.dtype]))
  return (buffer) => {
    const dtype = dtypes.get(buffer)
    assert(dtype, `a weight in buffer "${buffer}"`)
    return dtype
  }
}

function partOf(spec: ModelSpec, tensor: CheckedTensor): WeightPart {
  const dtype = DTYPES[tensor.dtype]
  const buffer = bufferOf(tensor)
  const [rows = 0, inputs] = tensor.shape
  if (inputs === undefined) return { kind: 'vector', buffer, dtype, size: rows }
  const queries = spec.numHeads * spec.headDim
  const keys = spec.numKvHeads * spec.headDim
  const first: Partial<Record<CheckedTensor['role'], number>> = { q: 0, k: queries, v: queries + keys }
  const firstColumn = first[tensor.role]
  const columns = firstColumn === undefined ? rows : queries + 2 * keys
  return { kind: 'matrix', buffer, dtype, inputs, columns, firstColumn: firstColumn ?? 0 }
}

function bufferOf({ part, layer, role }: CheckedTensor): string {
  const place = role === 'q' || role === 'k' || role === 'v' ? 'qkv' : role
  if (layer !== undefined) return part === 'mtp' ? `mtp.block.${place}` : `layer${layer}.${place}`
  if (part === 'model') return place
  return place === 'finalNorm' ? 'mtp.norm' : `mtp.${place}`
}
