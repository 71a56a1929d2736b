/**
 * The target model's pass over the rows of a step, as a list of ops: expand the plan, embed, the blocks, the final norm, and
 * the head on the sampled rows only. The block is the drafter's too.
 */

import type { Resources } from '../gpu/kernel.ts'
import { attentionMerge } from '../kernels/attentionMerge.ts'
import { embedTokens } from '../kernels/embedTokens.ts'
import { expandSampled } from '../kernels/expandSampled.ts'
import { expandStep } from '../kernels/expandStep.ts'
import type { WeightDtype } from '../kernels/weights.ts'
import type { ModelSpec } from '../models/modelSpec.ts'
import type { KvCacheDtype } from '../protocol/engineOptions.ts'
import type { StepGeometry } from './geometry.ts'
import type { KernelSet } from './kernelSet.ts'
import { type PassName, passSlice } from './passes.ts'
import { type Op, op } from './program.ts'
import type { StepCounts } from './stepCounts.ts'

/** What every part of the program is built from. */
export interface ModelContext {
  readonly spec: ModelSpec
  readonly geometry: StepGeometry
  readonly kernels: KernelSet
  readonly kvDtype: KvCacheDtype
  /** the buffer planned under a name */
  buffer(name: string): GPUBuffer
  /** how the matrix of that name is stored */
  dtype(name: string): WeightDtype
}

/** The rows a block works on and where their state lives. */
export interface BlockRows {
  readonly pass: PassName
  readonly count: (counts: StepCounts) => number
  /** attention items; undefined: one per row */
  readonly items: (counts: StepCounts) => number
  /** residual stream, [rows][hidden], read and updated */
  readonly residual: string
  readonly positions: string
  readonly slots: string
  readonly tableRows: string
  readonly itemList: string
  /** whether some rows leave attention partials to be merged */
  readonly merges: boolean
}

export const TARGET_ROWS: BlockRows = {
  pass: 'target',
  count: (counts) => counts.rows,
  items: (counts) => counts.items,
  residual: 'residual',
  positions: 'positions',
  slots: 'slots',
  tableRows: 'tableRows',
  itemList: 'items',
  merges: true,
}

export function targetOps(model: ModelContext): Op[] {
  const { spec, geometry, buffer } = model
  const pass = passSlice(buffer('passes'), 'target')
  const sampledPass = passSlice(buffer('passes'), 'sampled')
  const rows = TARGET_ROWS.count
  const sampled = (counts: StepCounts) => counts.sampled
  return [
    op('expandStep', expandStep, { maxBlocks: geometry.maxBlocks }, rows, {
      pass,
      ...named(model, ['requests', 'rowPlan', 'table', 'blockTable', 'ids', 'positions', 'slots', 'tableRows']),
    }),
    op('expandSampled', expandSampled, {}, sampled, {
      pass: sampledPass,
      ...named(model, ['rowIndex', 'positions', 'tableRows', 'sampledTable', 'sampledPositions']),
    }),
    embedOp(model, 'embed', 'target', rows, 'ids', 'residual'),
    ...spec.layers.flatMap((_layer, index) => blockOps(model, `layer${index}`, `kv.${index}`, TARGET_ROWS)),
    normOp(model, 'finalNorm', 'target', rows, 'residual', 'hidden'),
    headOp(model, 'head', 'sampled', sampled, 'hidden', true),
  ]
}

/** One transformer block: attention and MLP, each with its norm before it and its residual after. */
export function blockOps(model: ModelContext, weights: string, cache: string, rows: BlockRows): Op[] {
  const { spec, kernels, buffer, dtype } = model
  const queries = spec.numHeads * spec.headDim
  const pass = passSlice(buffer('passes'), rows.pass)
  const mlp = { k: spec.hiddenSize, n: spec.intermediateSize, dtype: dtype(`${weights}.gate`) }
  return [
    normOp(model, `${weights}.inputNorm`, rows.pass, rows.count, rows.residual, 'normed'),
    qkvOp(model, weights, rows, true),
    ropeKvOp(model, weights, cache, rows, true),
    attentionOp(model, weights, cache, rows),
    ...(rows.merges ? [mergeOp(model, weights, pass)] : []),
    linearOp(model, `${weights}.o`, rows, 'attention', rows.residual, {
      k: queries,
      n: spec.hiddenSize,
      residual: true,
    }),
    normOp(model, `${weights}.postNorm`, rows.pass, rows.count, rows.residual, 'normed'),
    op(`${weights}.gateUp`, kernels.gateUp, mlp, rows.count, {
      pass,
      gate: buffer(`${weights}.gate`),
      up: buffer(`${weights}.up`),
      x: buffer('normed'),
      y: buffer('activated'),
    }),
    linearOp(model, `${weights}.down`, rows, 'activated', rows.residual, {
      k: spec.intermediateSize,
      n: spec.hiddenSize,
      residual: true,
    }),
  ]
}

/** Queries, keys and values of a block's rows; keys and values only without `queries`. */
export function qkvOp(model: ModelContext, weights: string, rows: BlockRows, queries: boolean): Op {
  const { spec } = model
  const columns = qkvColumns(spec)
  const first = queries ? 0 : spec.numHeads * spec.headDim
  return linearOp(model, `${weights}.qkv`, rows, 'normed', 'qkv', {
    k: spec.hiddenSize,
    n: columns - first,
    of: { columns, first },
    bias: spec.qkvBias ? `${weights}.qkvBias` : undefined,
  })
}

/** QK-norm, RoPE and the cache write of a block's rows; without `queries` the input holds keys and values only. */
export function ropeKvOp(model: ModelContext, weights: string, cache: string, rows: BlockRows, queries: boolean): Op {
  const { spec, geometry, kernels, buffer } = model
  // A kernel's binding is never empty: where heads have no norm, another buffer stands in and is not read.
  const norm = (role: string) => buffer(spec.qkNorm ? `${weights}.${role}` : 'rope')
  const shape = {
    heads: spec.numHeads,
    kvHeads: spec.numKvHeads,
    headDim: spec.headDim,
    eps: spec.rmsNormEps,
    writeQuery: queries,
    qkNorm: spec.qkNorm,
    totalBlocks: geometry.totalBlocks,
    kvDtype: model.kvDtype,
  }
  return op(`${weights}.ropeKv`, kernels.ropeKv, shape, rows.count, {
    pass: passSlice(buffer('passes'), rows.pass),
    positions: buffer(rows.positions),
    slots: buffer(rows.slots),
    qNorm: norm('qNorm'),
    kNorm: norm('kNorm'),
    rope: buffer('rope'),
    cache: buffer(cache),
    qkv: buffer('qkv'),
    q: buffer('q'),
  })
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

/** An RMSNorm of hidden-size rows; its weight has the op's label. */
export function normOp(
  model: ModelContext,
  label: string,
  pass: PassName,
  rows: (counts: StepCounts) => number,
  x: string,
  out: string,
  place: { stride: number; offset: number } = { stride: model.spec.hiddenSize, offset: 0 },
): Op {
  const { spec, kernels, buffer } = model
  const shape = { size: spec.hiddenSize, eps: spec.rmsNormEps, outStride: place.stride, outOffset: place.offset }
  return op(label, kernels.rmsNorm, shape, rows, {
    pass: passSlice(buffer('passes'), pass),
    weight: buffer(label),
    x: buffer(x),
    out: buffer(out),
  })
}

export interface LinearPart {
  readonly k: number
  readonly n: number
  readonly residual?: boolean
  /** its inputs are the rows of x that `rowIndex` names */
  readonly gather?: boolean
  /** the weight, if not that of the op's label */
  readonly weight?: string
  readonly bias?: string | undefined
  /** columns of the stored matrix, if this uses only some of them, and the first it uses */
  readonly of?: { readonly columns: number; readonly first: number }
}

/** A matrix on the rows of a pass. */
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
    rowIndex: buffer('rowIndex'),
    weight: buffer(weight),
    bias: buffer(part.bias ?? weight),
    x: buffer(x),
    y: buffer(y),
  })
}

/** The LM head: logits of `x`, of the rows of `rowIndex` with `gather`. */
export function headOp(
  model: ModelContext,
  label: string,
  pass: PassName,
  rows: (counts: StepCounts) => number,
  x: string,
  gather: boolean,
): Op {
  const { spec } = model
  const weight = spec.tiedEmbeddings ? 'embed' : 'lmHead'
  const part = { k: spec.hiddenSize, n: spec.vocabSize, weight, gather }
  return linearOp(model, label, { pass, count: rows }, x, 'logits', part)
}

/** Columns of a block's fused query, key and value matrix. */
export function qkvColumns(spec: ModelSpec): number {
  return (spec.numHeads + 2 * spec.numKvHeads) * spec.headDim
}

/** Buffers bound under the names they are planned under. */
export function named(model: ModelContext, names: readonly string[]): Resources {
  return Object.fromEntries(names.map((name) => [name, model.buffer(name)]))
}

function attentionOp(model: ModelContext, weights: string, cache: string, rows: BlockRows): Op {
  const { kernels, buffer } = model
  const count = kernels.attention.name === 'serial' ? rows.count : rows.items
  return op(`${weights}.attention`, kernels.attention, attentionShape(model), count, {
    pass: passSlice(buffer('passes'), rows.pass),
    items: buffer(rows.itemList),
    positions: buffer(rows.positions),
    tableRows: buffer(rows.tableRows),
    blockTable: buffer('blockTable'),
    cache: buffer(cache),
    q: buffer('q'),
    out: buffer('attention'),
    partials: buffer('partials'),
  })
}

function mergeOp(model: ModelContext, weights: string, pass: Resources[string]): Op {
  const { buffer } = model
  return op(`${weights}.merge`, attentionMerge, attentionShape(model), (counts) => counts.merges, {
    pass: pass as GPUBuffer,
    merges: buffer('merges'),
    partials: buffer('partials'),
    out: buffer('attention'),
  })
}

function attentionShape({ spec, geometry, kvDtype }: ModelContext) {
  return {
    heads: spec.numHeads,
    kvHeads: spec.numKvHeads,
    headDim: spec.headDim,
    maxBlocks: geometry.maxBlocks,
    totalBlocks: geometry.totalBlocks,
    kvDtype,
  }
}
