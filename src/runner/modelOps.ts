/**
 * The ops that every part of a model is built from (embedding, norm, matrix product), each on the rows of one pass. It
 * must never know in which order a model uses them.
 */

import type { Resources } from '../gpu/kernel.ts'
import { embedTokens } from '../kernels/embedTokens.ts'
import type { WeightDtype } from '../kernels/weights.ts'
import type { ModelSpec } from '../models/modelSpec.ts'
import type { KvCacheDtype } from '../protocol/engineOptions.ts'
import type { GpuGeometry } from './gpuGeometry.ts'
import type { KernelSet } from './kernelSet.ts'
import { type PassName, passSlice } from './passes.ts'
import { type Op, op } from './program.ts'
import type { StepCounts } from './stepCounts.ts'

/** What every op builder needs: model, sizes, kernels and buffers. */
export interface ModelContext {
  readonly spec: ModelSpec
  readonly geometry: GpuGeometry
  readonly kernels: KernelSet
  readonly kvDtype: KvCacheDtype
  /** the buffer of that name in the plan */
  buffer(name: string): GPUBuffer
  /** the element type of the matrix in that buffer */
  dtype(name: string): WeightDtype
}

/** The rows that a block works on, and the buffers of their state. */
export interface BlockRows {
  readonly pass: PassName
  readonly count: (counts: StepCounts) => number
  /** attention items */
  readonly items: (counts: StepCounts) => number
  /** residual stream, [rows][hidden], read and updated */
  readonly residual: string
  readonly positions: string
  readonly slots: string
  readonly tableRows: string
  readonly itemList: string
  /** whether some rows leave attention partials to merge */
  readonly merges: boolean
}

/** Embeddings of `ids`; with `positions`, zero at position 0. */
export function embedOp(
  model: ModelContext,
  label: string,
  pass: PassName,
  rows: (counts: StepCounts) => number,
  ids: string,
  out: string,
  positions?: string,
): Op {
  const { spec, buffer, dtype } = model
  const maskFirst = positions !== undefined
  const shape = { hiddenSize: spec.hiddenSize, vocabSize: spec.vocabSize, dtype: dtype('embed'), maskFirst }
  return op(label, embedTokens, shape, rows, {
    pass: passSlice(buffer('passes'), pass),
    ids: buffer(ids),
    positions: buffer(positions ?? ids),
    weight: buffer('embed'),
    out: buffer(out),
  })
}

/** RMSNorm of hidden-size rows. The op's label names its weight. Only target rows have slots. */
export function normOp(
  model: ModelContext,
  label: string,
  pass: PassName,
  rows: (counts: StepCounts) => number,
  x: string,
  out: string,
  place: { stride?: number; offset?: number; bySlot?: boolean } = {},
): Op {
  const { spec, kernels, buffer } = model
  const { stride = spec.hiddenSize, offset = 0, bySlot = false } = place
  const shape = {
    size: spec.hiddenSize,
    eps: spec.rmsNormEps,
    inStride: spec.hiddenSize,
    inOffset: 0,
    outStride: stride,
    outOffset: offset,
    bySlot,
    addScale: undefined,
  }
  return op(label, kernels.rmsNorm, shape, rows, {
    pass: passSlice(buffer('passes'), pass),
    slots: buffer('slots'),
    weight: buffer(label),
    x: buffer(x),
    out: buffer(out),
  })
}

export interface LinearPart {
  readonly k: number
  readonly n: number
  readonly residual?: boolean
  /** row r reads row headRows[r] of x */
  readonly gather?: boolean
  /** the weight buffer, if the label does not name it */
  readonly weight?: string
  readonly bias?: string | undefined
  /** columns of the stored matrix, and the first one used, if only part of it is */
  readonly of?: { readonly columns: number; readonly first: number }
}

/** A matrix product on the rows of a pass. */
export function linearOp(
  model: ModelContext,
  label: string,
  rows: Pick<BlockRows, 'pass' | 'count'>,
  x: string,
  y: string,
  part: LinearPart,
): Op {
  const { kernels, buffer, dtype } = model
  const weight = part.weight ?? label
  const shape = {
    k: part.k,
    n: part.n,
    weightColumns: part.of?.columns ?? part.n,
    firstColumn: part.of?.first ?? 0,
    residual: part.residual ?? false,
    gather: part.gather ?? false,
    bias: part.bias !== undefined,
    dtype: dtype(weight),
  }
  return op(label, kernels.linear, shape, rows.count, {
    pass: passSlice(buffer('passes'), rows.pass),
    rowIndex: buffer('headRows'),
    weight: buffer(weight),
    bias: buffer(part.bias ?? weight),
    x: buffer(x),
    y: buffer(y),
  })
}

/** Columns of a block's fused QKV matrix. */
export function qkvColumns(spec: ModelSpec): number {
  return (spec.numHeads + 2 * spec.numKvHeads) * spec.headDim
}

/** Buffers bound under their own names. */
export function named(model: ModelContext, names: readonly string[]): Resources {
  return Object.fromEntries(names.map((name) => [name, model.buffer(name)]))
}
