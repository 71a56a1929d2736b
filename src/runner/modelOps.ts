/**
 * The ops that every part of a model is built from (embedding, norm, matrix product), each on the rows of one pass. It
 * must never know in which order a model uses them.
 */

import type { Resources } from '../gpu/kernel.ts'
import { embedTokens } from '../kernels/embedTokens.ts'
import type { ModelSpec } from '../models/modelSpec.ts'
import type { KvCacheDtype } from '../protocol/engineOptions.ts'
import { assert } from '../util/math.ts'
import { isQuantised } from '../weights/format.ts'
import type { GpuGeometry } from './gpuGeometry.ts'
import type { KernelSet } from './kernelSet.ts'
import { type PassName, passSlice } from './passes.ts'
import { type Op, op } from './program.ts'
import type { StepCounts } from './stepCounts.ts'
import { columnRuns, type MatrixPart, type StoredMatrix, scalesOf, type WeightLayout } from './weightLayout.ts'

/** What every op builder needs: model, sizes, kernels and buffers. */
export interface ModelContext {
  readonly spec: ModelSpec
  readonly geometry: GpuGeometry
  readonly kernels: KernelSet
  readonly kvDtype: KvCacheDtype
  /** the buffer of that name in the plan */
  buffer(name: string): GPUBuffer
  readonly layout: WeightLayout
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

/** Embeddings of `ids`, times the model's scale; with `positions`, zero at position 0. One op for each part of the matrix. */
export function embedOps(
  model: ModelContext,
  label: string,
  pass: PassName,
  rows: (counts: StepCounts) => number,
  ids: string,
  out: string,
  positions?: string,
): Op[] {
  const { spec, buffer } = model
  return matrixOf(model, 'embed').parts.map((part, index) => {
    const shape = {
      hiddenSize: spec.hiddenSize,
      vocabSize: spec.vocabSize,
      firstToken: part.outColumn,
      tokens: part.columns,
      format: part.format,
      scale: Math.fround(spec.embeddingScale),
      maskFirst: positions !== undefined,
    }
    return op(partLabel(label, index), embedTokens, shape, rows, {
      pass: passSlice(buffer('passes'), pass),
      ids: buffer(ids),
      positions: buffer(positions ?? ids),
      weight: buffer(part.buffer),
      scales: scalesBuffer(model, part),
      out: buffer(out),
    })
  })
}

/** Where a norm reads and writes, in elements; by default whole rows of hidden size. */
export interface NormPlace {
  readonly size?: number
  readonly inStride?: number
  readonly inOffset?: number
  readonly stride?: number
  readonly offset?: number
  readonly bySlot?: boolean
  /** out += addScale · norm(x) instead of out = norm(x) */
  readonly addScale?: number
}

/** RMSNorm of rows. The op's label names its weight. Only target rows have slots. */
export function normOp(
  model: ModelContext,
  label: string,
  pass: PassName,
  rows: (counts: StepCounts) => number,
  x: string,
  out: string,
  place: NormPlace = {},
): Op {
  const { spec, kernels, buffer } = model
  const { size = spec.hiddenSize } = place
  const shape = {
    size,
    eps: spec.rmsNormEps,
    inStride: place.inStride ?? size,
    inOffset: place.inOffset ?? 0,
    outStride: place.stride ?? size,
    outOffset: place.offset ?? 0,
    bySlot: place.bySlot ?? false,
    addScale: place.addScale,
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
  /** the matrix, if the label does not name it */
  readonly weight?: string
  /** its columns `first` to `end` - 1; default: all */
  readonly first?: number
  readonly end?: number
  /** elements of an output row, and where column `first` goes; default: the columns alone, from 0 */
  readonly outStride?: number
  readonly outOffset?: number
  readonly residual?: boolean
  readonly scale?: number
  readonly softcap?: number | undefined
  /** row r reads row headRows[r] of x */
  readonly gather?: boolean
  /** a vector with a value for every column of the matrix */
  readonly bias?: string | undefined
}

/** A matrix product on the rows of a pass: one op for each part of the matrix. */
export function linearOps(
  model: ModelContext,
  label: string,
  rows: Pick<BlockRows, 'pass' | 'count'>,
  x: string,
  y: string,
  part: LinearPart,
): Op[] {
  const { kernels, buffer } = model
  const matrix = matrixOf(model, part.weight ?? label)
  const { first = 0, end = matrix.columns, outOffset = 0 } = part
  return columnRuns(matrix, first, end).map((run, index) => {
    const shape = {
      k: part.k,
      n: run.columns,
      firstColumn: run.firstColumn,
      outStride: part.outStride ?? end - first,
      outOffset: outOffset + run.outColumn - first,
      residual: part.residual ?? false,
      scale: Math.fround(part.scale ?? 1),
      softcap: Math.fround(part.softcap ?? 0),
      gather: part.gather ?? false,
      bias: part.bias !== undefined,
      biasOffset: run.outColumn,
      format: run.part.format,
    }
    return op(partLabel(label, index), kernels.linear, shape, rows.count, {
      pass: passSlice(buffer('passes'), rows.pass),
      rowIndex: buffer('headRows'),
      weight: buffer(run.part.buffer),
      scales: scalesBuffer(model, run.part),
      bias: buffer(part.bias ?? run.part.buffer),
      x: buffer(x),
      y: buffer(y),
    })
  })
}

/** A matrix that is stored in one part. */
export function wholeMatrix(model: ModelContext, name: string) {
  const [part, ...others] = matrixOf(model, name).parts
  assert(part && others.length === 0, `${name} is stored in one part`)
  return { format: part.format, codes: model.buffer(part.buffer), scales: scalesBuffer(model, part) }
}

function matrixOf({ layout }: ModelContext, name: string): StoredMatrix {
  const matrix = layout.matrices.get(name)
  assert(matrix, `${name} is a matrix of the layout`)
  return matrix
}

/** WebGPU has no empty bindings: without scales the codes are bound and not read. */
function scalesBuffer({ buffer }: ModelContext, part: MatrixPart): GPUBuffer {
  return buffer(isQuantised(part.format) ? scalesOf(part.buffer) : part.buffer)
}

/** The first part's op has the matrix's label, by which traces and measurements know it. */
function partLabel(label: string, index: number): string {
  return index === 0 ? label : `${label}.${index}`
}

/** Columns of a block's fused QKV matrix. */
export function qkvColumns(spec: ModelSpec): number {
  return (spec.numHeads + 2 * spec.numKvHeads) * spec.headDim
}

/** Buffers bound under their own names. */
export function named(model: ModelContext, names: readonly string[]): Resources {
  return Object.fromEntries(names.map((name) => [name, model.buffer(name)]))
}
