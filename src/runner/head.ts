/**
 * The LM head as ops: logits of the sampled rows over the whole vocabulary, and of a draft pass over the draft
 * vocabulary. The latter may be smaller (FR-Spec, Zhao et al. 2025): in a small model the head is most of a draft's cost,
 * and a token that cannot be drafted only lowers acceptance, never changes the output.
 */

import { linearOp, type ModelContext } from './modelOps.ts'
import type { PassName } from './passes.ts'
import type { Op } from './program.ts'
import type { StepCounts } from './stepCounts.ts'
import { DRAFT_HEAD, headBuffer } from './weightLayout.ts'

/** Logits [sampled][vocabulary] of the hidden states at `headRows`. */
export function headOp(model: ModelContext, hidden: string, sampled: (counts: StepCounts) => number): Op {
  const { hiddenSize, vocabSize } = model.spec
  const part = { k: hiddenSize, n: vocabSize, weight: headBuffer(model.spec), gather: true }
  return linearOp(model, 'head', { pass: 'sampled', count: sampled }, hidden, 'logits', part)
}

/** Logits [rows][draft vocabulary] of a draft pass. */
export function draftHeadOp(model: ModelContext, pass: PassName, count: (counts: StepCounts) => number): Op {
  const { spec, geometry } = model
  const weight = draftsFromSubset(model) ? DRAFT_HEAD : headBuffer(spec)
  const part = { k: spec.hiddenSize, n: geometry.draftVocab, weight }
  return linearOp(model, `${pass}.head`, { pass, count }, 'draftHidden', 'logits', part)
}

/** Whether drafts come from part of the vocabulary: `draftIds` then maps columns to token ids. */
export function draftsFromSubset({ spec, geometry }: Pick<ModelContext, 'spec' | 'geometry'>): boolean {
  return geometry.draftVocab < spec.vocabSize
}
