/**
 * The drafter (a multi-token-prediction head) as lists of ops. The target's hidden states are stored by KV slot, so that
 * the KV pass can compute the drafter's K and V of any row in this step or a later one; then draft passes run the whole
 * block on one row per drafting request.
 *
 *     u = fc · concat(norm_e(embed(t_{i+1})), norm_h(h_i)),  z = norm_out(Block(u, position i)),  logits = head(z)
 *     next pass: (h, t, position) <- (z, draft, position + 1)
 *
 * The model spec says which half of the concatenation comes first, and whether the embedding is zero at position 0.
 */

import { expandDrafter } from '../kernels/expandDrafter.ts'
import { gatherRows } from '../kernels/gatherRows.ts'
import { startDrafts } from '../kernels/startDrafts.ts'
import { storeDrafts } from '../kernels/storeDrafts.ts'
import { drafterLayer } from '../models/modelSpec.ts'
import { assert } from '../util/math.ts'
import { type Block, blockOps, kvOps } from './block.ts'
import { HIDDEN_STATES, TARGET_ROWS } from './forward.ts'
import { draftHeadOps } from './head.ts'
import { type BlockRows, embedOps, linearOps, type ModelContext, named, normOp } from './modelOps.ts'
import { type PassName, passSlice } from './passes.ts'
import { type Op, op } from './program.ts'
import { draftTokenOps } from './sampling.ts'
import type { StepCounts } from './stepCounts.ts'

const WEIGHTS = 'mtp.block'

/** Ops after verification: the KV pass, then `geometry.drafts` draft passes. */
export function drafterOps(model: ModelContext): Op[] {
  const { geometry, buffer } = model
  const first = (counts: StepCounts) => counts.drafting[0] ?? 0
  return [
    ...kvPassOps(model),
    op('startDrafts', startDrafts, {}, first, {
      pass: passSlice(buffer('passes'), 'draft0'),
      ...named(model, ['requests', 'draftRequests', 'results', 'drafterPositions']),
      ...named(model, ['draftSources', 'draftPositions', 'draftSlots', 'draftTableRows']),
    }),
    ...Array.from({ length: geometry.drafts }, (_, draft) => draftPassOps(model, draft)).flat(),
  ]
}

/** Computes the drafter's K and V of rows whose next token is known. Leaves u in the residual stream. */
function kvPassOps(model: ModelContext): Op[] {
  const { spec, geometry, buffer } = model
  const rows: BlockRows = {
    ...TARGET_ROWS,
    pass: 'kvPass',
    count: (counts) => counts.kvPass,
    positions: 'drafterPositions',
    slots: 'drafterSlots',
  }
  const pass = passSlice(buffer('passes'), rows.pass)
  return [
    op('mtp.expand', expandDrafter, { maxBlocks: geometry.maxBlocks }, rows.count, {
      pass,
      ...named(model, ['requests', 'drafterPlan', 'results', 'positions', 'blockTable']),
      ...named(model, ['nextTokens', 'drafterPositions', 'drafterSlots']),
    }),
    op('mtp.hidden', gatherRows, { size: spec.hiddenSize }, rows.count, {
      pass,
      rowIndex: buffer('drafterSlots'),
      x: buffer(HIDDEN_STATES),
      out: buffer('hidden'),
    }),
    ...inputOps(model, rows, 'nextTokens', 'hidden'),
    ...kvOps(model, drafterBlock(model), rows),
  ]
}

/** Computes the next draft of every drafting request. */
function draftPassOps(model: ModelContext, draft: number): Op[] {
  const { spec, geometry, buffer } = model
  const pass: PassName = `draft${draft}`
  const count = (counts: StepCounts) => counts.drafting[draft] ?? 0
  const rows: BlockRows = {
    pass,
    count,
    items: count,
    residual: 'draftResidual',
    positions: 'draftPositions',
    slots: 'draftSlots',
    tableRows: 'draftTableRows',
    itemList: 'draftItems',
    merges: false,
  }
  const input =
    draft === 0
      ? [
          op('draft0.gather', gatherRows, { size: spec.hiddenSize }, count, {
            pass: passSlice(buffer('passes'), pass),
            rowIndex: buffer('draftSources'),
            x: buffer('residual'),
            out: buffer('draftResidual'),
          }),
        ]
      : inputOps(model, rows, 'tokens', 'draftHidden')
  return [
    ...input,
    ...blockOps(model, drafterBlock(model), rows),
    normOp(model, 'mtp.norm', pass, count, 'draftResidual', 'draftHidden'),
    ...draftHeadOps(model, pass, count),
    ...draftTokenOps(model, pass, count),
    op(`${pass}.store`, storeDrafts, { maxBlocks: geometry.maxBlocks }, count, {
      pass: passSlice(buffer('passes'), pass),
      ...named(model, ['draftRequests', 'draftTableRows', 'blockTable', 'tokens', 'table']),
      ...named(model, ['results', 'draftPositions', 'draftSlots']),
    }),
  ]
}

/** Computes u = fc · concat(norm_e(embed(token)), norm_h(hidden)) into the residual stream of the rows. */
function inputOps(model: ModelContext, rows: BlockRows, tokens: string, hidden: string): Op[] {
  const { hiddenSize: size, mtp } = model.spec
  assert(mtp, 'the model has a drafter')
  const { pass, count } = rows
  const positions = mtp.maskFirstEmbedding ? rows.positions : undefined
  const embedding = { stride: 2 * size, offset: mtp.concatOrder === 'embedding-first' ? 0 : size }
  return [
    ...embedOps(model, `${pass}.embedNext`, pass, count, tokens, 'normed', positions),
    normOp(model, 'mtp.embedNorm', pass, count, 'normed', 'joined', embedding),
    normOp(model, 'mtp.hiddenNorm', pass, count, hidden, 'joined', {
      stride: 2 * size,
      offset: size - embedding.offset,
    }),
    ...linearOps(model, 'mtp.fc', rows, 'joined', rows.residual, { k: 2 * size }),
  ]
}

function drafterBlock({ spec }: ModelContext): Block {
  return { layer: drafterLayer(spec), weights: WEIGHTS, cache: 'kv.mtp' }
}
