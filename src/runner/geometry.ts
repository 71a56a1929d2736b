/**
 * The sizes of a step's buffers, derived once from the options: rows, requests, sampled rows, blocks and attention
 * partials that the device must hold. Nothing here depends on the contents of a step.
 */

import { BLOCK_SIZE, draftVocabSize, maxDraftPasses, maxSampledRows, totalBlocks } from '../core/cost.ts'
import { adjustmentWords } from '../kernels/adjustLogits.ts'
import { SPLIT_KEYS } from '../kernels/attentionPlan.ts'
import type { ModelSpec } from '../models/modelSpec.ts'
import type { EngineOptions } from '../protocol/engineOptions.ts'
import { cdiv } from '../util/math.ts'

/** memory limit for attention partials; rows beyond it merge their splits in sequence, with the same bits */
const PARTIAL_BYTES = 64 * 1024 * 1024
/** limit of their number: each workgroup writes at least one, and every adapter allows 65535 workgroups in a dimension */
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
  /** columns of the draft head: the vocabulary, or the part of it that drafts come from */
  readonly draftVocab: number
  /** blocks of the KV pool */
  readonly totalBlocks: number
  /** blocks of one request */
  readonly maxBlocks: number
  /** attention splits of one row */
  readonly maxSplits: number
  /** most (row, split) pairs that leave partials */
  readonly maxParts: number
  /** words per request in `adjustments`; 0: penalties are off */
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
