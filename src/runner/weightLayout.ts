/**
 * Where each tensor of a checkpoint goes on the GPU. Matrices are stored as words of four inputs, [K/4][N], with Q, K and
 * V fused into one; norms and biases as f32. Known from the header alone, so that memory is planned before a weight is
 * fetched.
 */

import type { TensorHeaders } from '../backend/backend.ts'
import type { BufferPlan } from '../gpu/arena.ts'
import { type WeightDtype, weightBytes } from '../kernels/weights.ts'
import { type CheckedTensor, checkTensors } from '../models/checkTensors.ts'
import type { ModelSpec } from '../models/modelSpec.ts'
import type { WeightRole } from '../models/weightNames.ts'
import { assert } from '../util/math.ts'
import { WEIGHT_DTYPES } from '../weights/decode.ts'

/** A tensor whose rows become `columns` columns of a stored matrix, from `firstColumn` on. */
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

/** A tensor whose values go to a stored vector, from `first` on. */
export interface VectorPart {
  readonly kind: 'vector'
  readonly buffer: string
  readonly dtype: WeightDtype
  /** values of the whole vector */
  readonly size: number
  readonly first: number
}

export type WeightPart = MatrixPart | VectorPart

/** Buffers shared by several tensors, in the order Q, K, V. */
const JOINED: Readonly<Partial<Record<WeightRole, string>>> = {
  q: 'qkv',
  k: 'qkv',
  v: 'qkv',
  qBias: 'qkvBias',
  kBias: 'qkvBias',
  vBias: 'qkvBias',
}

/** The buffer with the LM head's columns of a reduced draft vocabulary. */
export const DRAFT_HEAD = 'mtp.head'

/** The buffer of the LM head's matrix. */
export function headBuffer(spec: Pick<ModelSpec, 'tiedEmbeddings'>): 'embed' | 'lmHead' {
  return spec.tiedEmbeddings ? 'embed' : 'lmHead'
}

/**
 * The destination of every tensor the engine needs, by tensor name; the drafter's only with `withDrafter`.
 * @throws MODEL_FORMAT when the header is not what config.json says
 */
export function weightParts(spec: ModelSpec, withDrafter: boolean, tensors: TensorHeaders): Map<string, WeightPart> {
  const checked = checkTensors(spec, tensors).filter((tensor) => withDrafter || tensor.part === 'model')
  return new Map(checked.map((tensor) => [tensor.name, partOf(spec, tensor)]))
}

/** The weight buffers. @param draftVocab size of the draft vocabulary */
export function weightBuffers(
  spec: ModelSpec,
  withDrafter: boolean,
  tensors: TensorHeaders,
  draftVocab = spec.vocabSize,
): BufferPlan[] {
  const plans = new Map<string, BufferPlan>()
  const parts = weightParts(spec, withDrafter, tensors)
  for (const part of parts.values()) {
    const bytes = part.kind === 'vector' ? part.size * 4 : weightBytes(part.dtype, part.columns, part.inputs)
    plans.set(part.buffer, { name: part.buffer, bytes, use: 'storage' })
  }
  if (draftVocab < spec.vocabSize) {
    const bytes = weightBytes(weightDtypes(spec, parts)(DRAFT_HEAD), draftVocab, spec.hiddenSize)
    plans.set(DRAFT_HEAD, { name: DRAFT_HEAD, bytes, use: 'storage', knob: 'speculative.draftVocabSize' })
  }
  return [...plans.values()]
}

/** The element type of the matrix in each weight buffer. */
export function weightDtypes(spec: ModelSpec, parts: ReadonlyMap<string, WeightPart>): (buffer: string) => WeightDtype {
  const dtypes = new Map([...parts.values()].map((part) => [part.buffer, part.dtype]))
  return (buffer) => {
    const dtype = dtypes.get(buffer === DRAFT_HEAD ? headBuffer(spec) : buffer)
    assert(dtype, `a tensor is stored in buffer "${buffer}"`)
    return dtype
  }
}

function partOf(spec: ModelSpec, tensor: CheckedTensor): WeightPart {
  const dtype = WEIGHT_DTYPES[tensor.dtype]
  const buffer = bufferOf(tensor)
  const [rows = 0, inputs] = tensor.shape
  const k = spec.numHeads * spec.headDim
  const v = k + spec.numKvHeads * spec.headDim
  const firsts: Partial<Record<WeightRole, number>> = { q: 0, k, v, qBias: 0, kBias: k, vBias: v }
  const first = firsts[tensor.role] ?? 0
  const columns = JOINED[tensor.role] ? v + spec.numKvHeads * spec.headDim : rows
  if (inputs === undefined) return { kind: 'vector', buffer, dtype, size: columns, first }
  return { kind: 'matrix', buffer, dtype, inputs, columns, firstColumn: first }
}

function bufferOf({ part, layer, role }: CheckedTensor): string {
  const place = JOINED[role] ?? role
  if (layer !== undefined) return part === 'mtp' ? `mtp.block.${place}` : `layer${layer}.${place}`
  if (part === 'model') return place
  return place === 'finalNorm' ? 'mtp.norm' : `mtp.${place}`
}
