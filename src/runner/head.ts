/**
 * The LM head as ops: logits of the sampled rows over the whole vocabulary, and of a draft pass over the draft
 * vocabulary. The latter may be smaller (FR-Spec, Zhao et al. 2025): in a small model the head is most of a draft's cost,
 * and a token that cannot be drafted only lowers acceptance, never changes the output.
 */

import { linearOps, type ModelContext } from './modelOps.ts'
import type { PassName } from './passes.ts'
import type { Op } from './program.ts'
import type { StepCounts } from './stepCounts.ts'
import { DRAFT_HEAD, headMatrix } from './weightLayout.ts'

/** Logits [sampled][vocabulary] of the hidden states at `headRows`. */
export function headOps(model: ModelContext, hidden: string, sampled: (counts: StepCounts) => number): Op[] {
  const part = { ...headPart(model), weight: headMatrix(model.spec), gather: true }
  return linearOps(model, 'head', { pass: 'sampled', count: sampled }, hidden, 'logits', part)
}

/** Logits [rows][draft vocabulary] of a draft pass. */
export function draftHeadOps(model: ModelContext, pass: PassName, count: (counts: StepCounts) => number): Op[] {
  const weight = draftsFromSubset(model) ? DRAFT_HEAD : headMatrix(model.spec)
  return linearOps(model, `${pass}.head`, { pass, count }, 'draftHidden', 'logits', { ...headPart(model), weight })
}

function headPart({ spec }: ModelContext) {
  return { k: spec.hiddenSize, scale: spec.logitScale, softcap: spec.logitSoftcap }
}

/** Whether drafts come from part of the vocabulary: `draftIds` then maps columns to token ids. */
export function draftsFromSubset({ spec, geometry }: Pick<ModelContext, 'spec' | 'geometry'>): boolean {
  return geometry.draftVocab < spec.vocabSize
}
