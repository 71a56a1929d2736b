/**
 * Where each tensor of a model goes on the GPU. A matrix is a list of parts: Q, K and V of a block are one matrix, whose neighbours of
 * one format share a part, and a part ends where its buffer would exceed what every device can bind. Vectors are f32. All of it is
 * known before a weight is fetched. It must never know what a part's bytes look like, nor how they come.
 */

import type { ModelTensor } from '../backend/backend.ts'
import type { BufferPlan } from '../gpu/arena.ts'
import { storedBytes, TILE_COLUMNS, tileBytes } from '../kernels/weights.ts'
import type { ModelSpec } from '../models/modelSpec.ts'
import type { WeightRole } from '../models/weightNames.ts'
import { assert } from '../util/math.ts'
import { sameFormat, type WeightFormat } from '../weights/format.ts'

/** The storage buffer binding that every WebGPU device has. */
export const PORTABLE_BINDING_BYTES = 128 * 1024 * 1024

/** Columns of a matrix that are stored together. */
export interface MatrixPart {
  /** of its codes; those of its scales, if it is quantised, are in `scalesOf(buffer)` */
  readonly buffer: string
  readonly format: WeightFormat
  readonly columns: number
  /** the first of them in the matrix */
  readonly outColumn: number
}

export interface StoredMatrix {
  /** K */
  readonly inputs: number
  /** N */
  readonly columns: number
  readonly parts: readonly MatrixPart[]
}

/** Where the rows of a tensor go: to columns of a matrix, or its values to a vector, from `first` on. */
export interface TensorPlace {
  readonly kind: 'matrix' | 'vector'
  readonly name: string
  readonly first: number
}

export interface WeightLayout {
  readonly matrices: ReadonlyMap<string, StoredMatrix>
  /** number of values by name */
  readonly vectors: ReadonlyMap<string, number>
  /** what has a place */
  readonly tensors: readonly ModelTensor[]
  /** by name of the tensor */
  readonly places: ReadonlyMap<string, TensorPlace>
}

/** What the layout of a model's weights depends on. */
export interface LayoutOptions {
  readonly withDrafter: boolean
  /** size of the draft vocabulary; default: all */
  readonly draftVocab?: number | undefined
  /** most bytes of a buffer; default: what every device can bind */
  readonly bindingBytes?: number | undefined
}

/** The matrix with the LM head's columns of a reduced draft vocabulary. */
export const DRAFT_HEAD = 'mtp.head'

/** Tensors that share a matrix or a vector, in the order Q, K, V. */
const JOINED: Readonly<Partial<Record<WeightRole, string>>> = {
  q: 'qkv',
  k: 'qkv',
  v: 'qkv',
  qBias: 'qkvBias',
  kBias: 'qkvBias',
  vBias: 'qkvBias',
}

/** The name of the LM head's matrix. */
export function headMatrix(spec: Pick<ModelSpec, 'tiedEmbeddings'>): 'embed' | 'lmHead' {
  return spec.tiedEmbeddings ? 'embed' : 'lmHead'
}

/** The buffer of a part's scales. */
export function scalesOf(buffer: string): string {
  return `${buffer}.scales`
}

export function weightLayout(spec: ModelSpec, tensors: readonly ModelTensor[], options: LayoutOptions): WeightLayout {
  const { withDrafter, draftVocab = spec.vocabSize, bindingBytes = PORTABLE_BINDING_BYTES } = options
  const stored = tensors.filter((tensor) => withDrafter || tensor.part === 'model')
  const places = new Map(stored.map((tensor) => [tensor.name, placeOf(spec, tensor)]))
  const vectors = new Map<string, number>()
  const pieces = new Map<string, Piece[]>()
  for (const tensor of stored) {
    const { kind, name, first } = placeOf(spec, tensor)
    const [size = 0, inputs = 0] = tensor.shape
    if (kind === 'vector') vectors.set(name, Math.max(vectors.get(name) ?? 0, first + size))
    else pieces.set(name, [...(pieces.get(name) ?? []), { first, columns: size, inputs, format: tensor.format }])
  }
  const matrices = new Map([...pieces].map(([name, each]) => [name, storedMatrix(name, each, bindingBytes)]))
  if (draftVocab < spec.vocabSize) {
    const [head] = matrices.get(headMatrix(spec))?.parts ?? []
    assert(head, 'the model has a head')
    const piece = { first: 0, columns: draftVocab, inputs: spec.hiddenSize, format: head.format }
    matrices.set(DRAFT_HEAD, storedMatrix(DRAFT_HEAD, [piece], bindingBytes))
  }
  return { matrices, vectors, tensors: stored, places }
}

/** The buffers of a layout. */
export function weightBuffers({ matrices, vectors }: WeightLayout): BufferPlan[] {
  const plans: BufferPlan[] = [...vectors].map(([name, size]) => ({ name, bytes: size * 4, use: 'storage' }))
  for (const [name, { inputs, parts }] of matrices) {
    const knob = name === DRAFT_HEAD ? { knob: 'speculative.draftVocabSize' } : {}
    for (const { buffer, format, columns } of parts) {
      const { codes, scales } = storedBytes(format, inputs, columns)
      plans.push({ name: buffer, bytes: codes, use: 'storage', ...knob })
      if (scales > 0) plans.push({ name: scalesOf(buffer), bytes: scales, use: 'storage', ...knob })
    }
  }
  return plans
}

/** Consecutive columns of a matrix that lie in one part. */
export interface ColumnRun {
  readonly part: MatrixPart
  /** in the part */
  readonly firstColumn: number
  readonly columns: number
  /** in the matrix */
  readonly outColumn: number
}

/** Columns `first` to `end` - 1 of a matrix, part by part. */
export function columnRuns({ parts }: StoredMatrix, first: number, end: number): ColumnRun[] {
  return parts.flatMap((part) => {
    const from = Math.max(first, part.outColumn)
    const columns = Math.min(end, part.outColumn + part.columns) - from
    return columns > 0 ? [{ part, firstColumn: from - part.outColumn, columns, outColumn: from }] : []
  })
}

/** Columns of a matrix that one tensor fills. */
interface Piece {
  readonly first: number
  readonly columns: number
  readonly inputs: number
  readonly format: WeightFormat
}

function storedMatrix(name: string, unordered: readonly Piece[], bindingBytes: number): StoredMatrix {
  const pieces = [...unordered].sort((a, b) => a.first - b.first)
  const inputs = pieces[0]?.inputs ?? 0
  const runs: Piece[] = []
  for (const piece of pieces) {
    const last = runs.at(-1)
    assert(piece.first === (last ? last.first + last.columns : 0), `the tensors of ${name} fill it`)
    if (last && sameFormat(last.format, piece.format)) {
      runs[runs.length - 1] = { ...last, columns: last.columns + piece.columns }
    } else runs.push(piece)
  }
  const cut = runs.flatMap((run) => cutPiece(run, bindingBytes))
  const parts = cut.map(({ format, columns, first }, index) => ({
    buffer: index === 0 ? name : `${name}.${index}`,
    format,
    columns,
    outColumn: first,
  }))
  return { inputs, columns: cut.reduce((sum, { columns }) => sum + columns, 0), parts }
}

/** Cuts at the borders of tiles, so that each piece fits a binding. One tile always stays whole. */
function cutPiece(piece: Piece, bindingBytes: number): Piece[] {
  const { codes, scales } = tileBytes(piece.format, piece.inputs)
  const most = Math.max(1, Math.floor(bindingBytes / Math.max(codes, scales))) * TILE_COLUMNS
  const pieces: Piece[] = []
  for (let done = 0; done < piece.columns; done += most) {
    pieces.push({ ...piece, first: piece.first + done, columns: Math.min(most, piece.columns - done) })
  }
  return pieces
}

function placeOf(spec: ModelSpec, tensor: ModelTensor): TensorPlace {
  const k = spec.numHeads * spec.headDim
  const v = k + spec.numKvHeads * spec.headDim
  const firsts: Partial<Record<WeightRole, number>> = { q: 0, k, v, qBias: 0, kBias: k, vBias: v }
  const kind = tensor.shape.length === 2 ? 'matrix' : 'vector'
  return { kind, name: nameOf(tensor), first: firsts[tensor.role] ?? 0 }
}

function nameOf({ part, layer, role }: ModelTensor): string {
  const place = JOINED[role] ?? role
  if (layer !== undefined) return part === 'mtp' ? `mtp.block.${place}` : `layer${layer}.${place}`
  if (part === 'model') return place
  return place === 'finalNorm' ? 'mtp.norm' : `mtp.${place}`
}
