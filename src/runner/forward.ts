/**
 * The target model's forward pass as a list of ops: expand the plan into rows, embed, the blocks, the final norm, and the
 * LM head on the sampled rows only. The drafter reuses the block.
 */

import type { Resources } from '../gpu/kernel.ts'
import { attentionMerge } from '../kernels/attentionMerge.ts'
import { expandSampled } from '../kernels/expandSampled.ts'
import { expandStep } from '../kernels/expandStep.ts'
import { headOp } from './head.ts'
import { type BlockRows, embedOp, linearOp, type ModelContext, named, normOp, qkvColumns } from './modelOps.ts'
import { passSlice } from './passes.ts'
import { type Op, op } from './program.ts'
import type { StepCounts } from './stepCounts.ts'

/** output of the final norm by KV slot, f32: the input of the drafter's KV pass */
export const HIDDEN_STATES = 'hiddenStates'

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
  // The drafter needs them later, so they are stored by slot; a rejected row is overwritten by the next row at its
  // position.
  const bySlot = geometry.drafts > 0
  const hidden = bySlot ? HIDDEN_STATES : 'hidden'
  return [
    op('expandStep', expandStep, { maxBlocks: geometry.maxBlocks }, rows, {
      pass,
      ...named(model, ['requests', 'rowPlan', 'table', 'blockTable', 'ids', 'positions', 'slots', 'tableRows']),
    }),
    op('expandSampled', expandSampled, { bySlot }, sampled, {
      pass: sampledPass,
      ...named(model, ['rowIndex', 'positions', 'tableRows', 'slots', 'sampledTable', 'sampledPositions', 'headRows']),
    }),
    embedOp(model, 'embed', 'target', rows, 'ids', 'residual'),
    ...spec.layers.flatMap((_layer, index) => blockOps(model, `layer${index}`, `kv.${index}`, TARGET_ROWS)),
    normOp(model, 'finalNorm', 'target', rows, 'residual', hidden, { bySlot }),
    headOp(model, hidden, sampled),
  ]
}

/** One transformer block: pre-norm attention and MLP, each added to the residual stream. */
export function blockOps(model: ModelContext, weights: string, cache: string, rows: BlockRows): Op[] {
  const { spec, kernels, buffer, dtype } = model
  const queries = spec.numHeads * spec.headDim
  const pass = passSlice(buffer('passes'), rows.pass)
  const mlp = {
    k: spec.hiddenSize,
    n: spec.intermediateSize,
    dtype: dtype(`${weights}.gate`),
    activation: spec.activation,
  }
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

/** Q, K and V of a block's rows; only K and V without `queries`. */
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

/** QK-norm, RoPE and the cache write of a block's rows; without `queries` the input holds K and V only. */
export function ropeKvOp(model: ModelContext, weights: string, cache: string, rows: BlockRows, queries: boolean): Op {
  const { spec, geometry, kernels, buffer } = model
  // WebGPU has no empty bindings: without QK-norm another buffer is bound and not read.
  const norm = (role: string) => buffer(spec.qkNorm ? `${weights}.${role}` : 'rope.0')
  const shape = {
    heads: spec.numHeads,
    kvHeads: spec.numKvHeads,
    headDim: spec.headDim,
    eps: spec.rmsNormEps,
    writeQuery: queries,
    qkNorm: spec.qkNorm === 'head',
    rotaryDims: spec.ropes[0]?.dims ?? 0,
    queryScale: spec.attentionScale,
    queryTable: 0,
    totalBlocks: geometry.totalBlocks,
    kvDtype: model.kvDtype,
  }
  return op(`${weights}.ropeKv`, kernels.ropeKv, shape, rows.count, {
    pass: passSlice(buffer('passes'), rows.pass),
    positions: buffer(rows.positions),
    slots: buffer(rows.slots),
    qNorm: norm('qNorm'),
    kNorm: norm('kNorm'),
    rope: buffer('rope.0'),
    cache: buffer(cache),
    qkv: buffer('qkv'),
    q: buffer('q'),
  })
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
    window: undefined,
    softcap: spec.attentionSoftcap,
  }
}
