/**
 * The sizes of a step's buffers, derived once from the options: how many rows, requests, sampled rows, blocks and attention
 * partials the device must hold. Nothing here depends on what a step contains.
 */

import { BLOCK_SIZE, draftVocabSize, maxDraftPasses, maxSampledRows, totalBlocks } from '../core/cost.ts'
import { adjustmentWords } from '../kernels/adjustLogits.ts'
import { SPLIT_KEYS } from '../kernels/attentionPlan.ts'
import type { ModelSpec } from '../models/modelSpec.ts'
import type { EngineOptions } from '../protocol/engineOptions.ts'
import { cdiv } from '../util/math.ts'

/** at most this much memory for attention partials; beyond it rows fold their splits in sequence, with the same bits */
const PARTIAL_BYTES = 64 * 1024 * 1024
/** and at most so many of them: a workgroup leaves one or more, and every adapter takes 65535 workgroups in a dispatch */
const MOST_PARTS = 32768

export interface StepGeometry {
  /** B: rows */
  readonly rows: number
  /** S: requests */
  readonly seqs: number
  /** R: sampled rows */
  readonly sampled: number
  /** drafts proposed on the device per request; 0: the engine has no drafter */
  readonly drafts: number
  /** logits of a draft: the vocabulary, or the part of it that drafts come from */
  readonly draftVocab: number
  /** blocks of the KV pool */
  readonly totalBlocks: number
  /** blocks of one request */
  readonly maxBlocks: number
  /** attention splits of one row */
  readonly maxSplits: number
  /** rows × splits that may leave partials */
  readonly maxParts: number
  /** words per request of what adjusts its logits; 0: the engine takes no penalties */
  readonly adjustments: number
}

export function stepGeometry(spec: ModelSpec, options: EngineOptions): StepGeometry {
  const sampled = maxSampledRows(options)
  const maxSplits = cdiv(options.maxModelLen, SPLIT_KEYS)
  const partBytes = spec.numHeads * (spec.headDim + 4) * 4
  const wanted = maxSplits > 1 ? sampled * maxSplits : 0
  return {
    rows: options.maxNumBatchedTokens,
    seqs: options.maxNumSeqs,
    sampled,
    drafts: maxDraftPasses(options),
    draftVocab: draftVocabSize(options) ?? spec.vocabSize,
    totalBlocks: totalBlocks(options),
    maxBlocks: cdiv(options.maxModelLen, BLOCK_SIZE),
    maxSplits,
    maxParts: Math.min(wanted, MOST_PARTS, Math.floor(PARTIAL_BYTES / partBytes)),
    adjustments: options.penalties ? adjustmentWords(spec.vocabSize) : 0,
  }
}
