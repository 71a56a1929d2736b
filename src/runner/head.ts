/**
 * The LM head, as ops: logits of the sampled rows over the whole vocabulary, and of a draft pass over the tokens that drafts come
 * from. These may be fewer (FR-Spec, Zhao et al. 2025): where a model is small its head is most of a draft, and what a drafter
 * cannot say costs acceptance alone, for the target decides.
 */

import { linearOp, type ModelContext } from './modelOps.ts'
import type { PassName } from './passes.ts'
import type { Op } from './program.ts'
import type { StepCounts } from './stepCounts.ts'
import { DRAFT_HEAD, headBuffer } from './weightLayout.ts'

/** Logits [sampled][vocabulary] of the hidden states that `headRows` names. */
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

/** Whether drafts come from part of the vocabulary: then `draftIds` has the id of each of its columns. */
export function draftsFromSubset({ spec, geometry }: Pick<ModelContext, 'spec' | 'geometry'>): boolean {
  return geometry.draftVocab < spec.vocabSize
}
