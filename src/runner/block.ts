/**
 * One transformer block as ops: attention and MLP, each added to the residual stream, with norms before, after or around them as the
 * model has it. Target and drafter share it. It must never know which model it is.
 */

import type { Resources } from '../gpu/kernel.ts'
import { activate } from '../kernels/activate.ts'
import { attentionMerge } from '../kernels/attentionMerge.ts'
import type { LayerSpec, ModelSpec } from '../models/modelSpec.ts'
import { sameFormat } from '../weights/format.ts'
import { type BlockRows, linearOps, type ModelContext, normOp, qkvColumns, wholeMatrix } from './modelOps.ts'
import { passSlice } from './passes.ts'
import { type Op, op } from './program.ts'

/** Where a block's weights and its cache are, and what kind of layer it is. */
export interface Block {
  readonly layer: LayerSpec
  /** prefix of its weights */
  readonly weights: string
  readonly cache: string
}

export function blockOps(model: ModelContext, block: Block, rows: BlockRows): Op[] {
  return [...attentionOps(model, block, rows), ...mlpOps(model, block.weights, rows)]
}

function attentionOps(model: ModelContext, block: Block, rows: BlockRows): Op[] {
  const { spec, buffer } = model
  const { weights } = block
  const projection = { k: spec.numHeads * spec.headDim, bias: spec.outputBias ? `${weights}.oBias` : undefined }
  return [
    ...projectionOps(model, block, rows, true),
    attentionOp(model, block, rows),
    ...(rows.merges ? [mergeOp(model, weights, passSlice(buffer('passes'), rows.pass))] : []),
    ...addedOps(model, `${weights}.o`, `${weights}.postAttentionNorm`, rows, 'attention', projection),
  ]
}

/** K and V of a block's rows to its cache, without their queries and attention. */
export function kvOps(model: ModelContext, block: Block, rows: BlockRows): Op[] {
  return projectionOps(model, block, rows, false)
}

/** What comes before attention. */
function projectionOps(model: ModelContext, block: Block, rows: BlockRows, queries: boolean): Op[] {
  const { weights } = block
  const normed = model.spec.norms !== 'post'
  return [
    ...(normed ? [blockNorm(model, `${weights}.inputNorm`, rows)] : []),
    ...qkvOps(model, weights, rows, normed ? 'normed' : rows.residual, queries),
    ropeKvOp(model, block, rows, queries),
  ]
}

function mlpOps(model: ModelContext, weights: string, rows: BlockRows): Op[] {
  const { spec } = model
  const input = spec.norms === 'post' ? rows.residual : 'normed'
  const projection = { k: spec.intermediateSize, bias: spec.mlpBias ? `${weights}.downBias` : undefined }
  return [
    ...(spec.norms === 'post' ? [] : [blockNorm(model, `${weights}.preMlpNorm`, rows)]),
    ...gateUpOps(model, weights, rows, input),
    ...addedOps(model, `${weights}.down`, `${weights}.postMlpNorm`, rows, 'activated', projection),
  ]
}

function blockNorm(model: ModelContext, weight: string, rows: BlockRows): Op {
  return normOp(model, weight, rows.pass, rows.count, rows.residual, 'normed')
}

/** Adds a projection of x to the residual stream, after a norm where the model has one. */
function addedOps(
  model: ModelContext,
  label: string,
  norm: string,
  rows: BlockRows,
  x: string,
  { k, bias }: { readonly k: number; readonly bias: string | undefined },
): Op[] {
  const { hiddenSize, norms, residualScale } = model.spec
  if (norms === 'pre') {
    return linearOps(model, label, rows, x, rows.residual, { k, bias, residual: true, scale: residualScale })
  }
  return [
    ...linearOps(model, label, rows, x, 'normed', { k, bias }),
    normOp(model, norm, rows.pass, rows.count, 'normed', rows.residual, {
      stride: hiddenSize,
      addScale: residualScale,
    }),
  ]
}

/** Q, K and V of a block's rows; only K and V without `queries`. */
function qkvOps(model: ModelContext, weights: string, rows: BlockRows, input: string, queries: boolean): Op[] {
  const { spec } = model
  const label = `${weights}.qkv`
  const width = qkvColumns(spec)
  const q = spec.numHeads * spec.headDim
  const first = queries ? 0 : q
  const part = { k: spec.hiddenSize, bias: spec.qkvBias ? `${weights}.qkvBias` : undefined, outStride: width - first }
  if (spec.qkNorm !== 'whole') return linearOps(model, label, rows, input, 'qkv', { ...part, first })
  // Queries and keys are computed aside, and their norms written between them and the values.
  const k = q + spec.numKvHeads * spec.headDim
  const norm = (role: string, offset: number, size: number) =>
    normOp(model, `${weights}.${role}`, rows.pass, rows.count, 'unnormed', 'qkv', {
      size,
      inStride: width - first,
      inOffset: offset - first,
      stride: width - first,
      offset: offset - first,
    })
  return [
    ...linearOps(model, label, rows, input, 'unnormed', { ...part, first, end: k }),
    ...linearOps(model, `${label}.v`, rows, input, 'qkv', { ...part, weight: label, first: k, outOffset: k - first }),
    ...(queries ? [norm('qNorm', 0, q)] : []),
    norm('kNorm', q, k - q),
  ]
}

/** QK-norm, RoPE and the cache write of a block's rows; without `queries` the input holds K and V only. */
function ropeKvOp(model: ModelContext, block: Block, rows: BlockRows, queries: boolean): Op {
  const { spec, geometry, kernels, buffer } = model
  const { layer, weights, cache } = block
  const qkNorm = spec.qkNorm === 'head'
  const rope = layer.rope === undefined ? undefined : spec.ropes[layer.rope]
  // WebGPU has no empty bindings: what is not read is another buffer.
  const unread = rows.positions
  const shape = {
    heads: spec.numHeads,
    kvHeads: spec.numKvHeads,
    headDim: spec.headDim,
    eps: spec.rmsNormEps,
    writeQuery: queries,
    qkNorm,
    rotaryDims: rope?.dims ?? 0,
    queryScale: spec.attentionScale,
    queryTable: spec.queryScaling ? geometry.maxModelLen : 0,
    totalBlocks: geometry.totalBlocks,
    kvDtype: model.kvDtype,
  }
  return op(`${weights}.ropeKv`, kernels.ropeKv, shape, rows.count, {
    pass: passSlice(buffer('passes'), rows.pass),
    positions: buffer(rows.positions),
    slots: buffer(rows.slots),
    qNorm: buffer(qkNorm ? `${weights}.qNorm` : unread),
    kNorm: buffer(qkNorm ? `${weights}.kNorm` : unread),
    rope: buffer(rope ? ropeBuffer(layer.rope ?? 0) : unread),
    cache: buffer(cache),
    qkv: buffer('qkv'),
    q: buffer('q'),
  })
}

/** The buffer of a rotation table. */
export function ropeBuffer(index: number): string {
  return `rope.${index}`
}

function attentionOp(model: ModelContext, { layer, weights, cache }: Block, rows: BlockRows): Op {
  const { spec, geometry, kernels, kvDtype, buffer } = model
  const count = kernels.attention.name === 'serial' ? rows.count : rows.items
  const shape = {
    heads: spec.numHeads,
    kvHeads: spec.numKvHeads,
    headDim: spec.headDim,
    maxBlocks: geometry.maxBlocks,
    totalBlocks: geometry.totalBlocks,
    kvDtype,
    window: layer.window,
    softcap: spec.attentionSoftcap,
  }
  return op(`${weights}.attention`, kernels.attention, shape, count, {
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

function mergeOp({ spec, buffer }: ModelContext, weights: string, pass: Resources[string]): Op {
  const shape = { heads: spec.numHeads, headDim: spec.headDim }
  return op(`${weights}.merge`, attentionMerge, shape, (counts) => counts.merges, {
    pass: pass as GPUBuffer,
    merges: buffer('merges'),
    partials: buffer('partials'),
    out: buffer('attention'),
  })
}

/** Gate, up and their activation: one op where both matrices are stored alike, else two products and the activation. Same bits. */
function gateUpOps(model: ModelContext, weights: string, rows: BlockRows, input: string): Op[] {
  const { spec, kernels, buffer } = model
  const { hiddenSize: k, intermediateSize: n, activation } = spec
  const pass = passSlice(buffer('passes'), rows.pass)
  const [gate, up] = [`${weights}.gate`, `${weights}.up`]
  if (fusesGateUp(model, weights)) {
    const [stored, other] = [wholeMatrix(model, gate), wholeMatrix(model, up)]
    return [
      op(`${weights}.gateUp`, kernels.gateUp, { k, n, format: stored.format, activation }, rows.count, {
        pass,
        gate: stored.codes,
        gateScales: stored.scales,
        up: other.codes,
        upScales: other.scales,
        x: buffer(input),
        y: buffer('activated'),
      }),
    ]
  }
  const stride = 2 * n
  const shape = { n, gate: { stride, offset: 0 }, up: { stride, offset: n }, activation, bias: spec.mlpBias }
  const bias = (role: string) => buffer(spec.mlpBias ? `${weights}.${role}` : 'gateAndUp')
  return [
    ...linearOps(model, gate, rows, input, 'gateAndUp', { k, outStride: stride }),
    ...linearOps(model, up, rows, input, 'gateAndUp', { k, outStride: stride, outOffset: n }),
    op(`${weights}.activate`, activate, shape, rows.count, {
      pass,
      gateBias: bias('gateBias'),
      upBias: bias('upBias'),
      gate: buffer('gateAndUp'),
      up: buffer('gateAndUp'),
      y: buffer('activated'),
    }),
  ]
}

/** Whether one kernel computes gate and up of a block: they have one format, lie in one buffer each, and have no biases. */
export function fusesGateUp(
  {
    spec,
    layout,
  }: { readonly spec: Pick<ModelSpec, 'mlpBias'>; readonly layout: Pick<ModelContext['layout'], 'matrices'> },
  weights: string,
): boolean {
  const [gate, up] = ['gate', 'up'].map((role) => layout.matrices.get(`${weights}.${role}`)?.parts ?? [])
  const [g, u] = [gate?.[0], up?.[0]]
  return !spec.mlpBias && gate?.length === 1 && up?.length === 1 && !!g && !!u && sameFormat(g.format, u.format)
}
