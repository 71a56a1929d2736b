/**
 * The target model's forward pass as a list of ops: expand the plan into rows, embed, the blocks, the final norm, and the
 * LM head on the sampled rows only. The drafter reuses the block.
 */

import { expandSampled } from '../kernels/expandSampled.ts'
import { expandStep } from '../kernels/expandStep.ts'
import { blockOps } from './block.ts'
import { headOps } from './head.ts'
import { type BlockRows, embedOps, type ModelContext, named, normOp } from './modelOps.ts'
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
    ...embedOps(model, 'embed', 'target', rows, 'ids', 'residual'),
    ...spec.layers.flatMap((layer, index) => {
      const block = { layer, weights: `layer${index}`, cache: `kv.${index}` }
      return blockOps(model, block, TARGET_ROWS)
    }),
    normOp(model, 'finalNorm', 'target', rows, 'residual', hidden, { bySlot }),
    ...headOps(model, hidden, sampled),
  ]
}
