/**
 * The sizes of a step, derived once from the options: the most rows, requests, sampled rows, drafts and blocks. Every backend
 * allocates by them. Nothing here depends on the contents of a step or on how a backend computes it.
 */

import type { EngineOptions } from '../protocol/engineOptions.ts'
import { cdiv } from '../util/math.ts'
import { BLOCK_SIZE, draftVocabSize, maxDraftPasses, maxSampledRows, totalBlocks } from './cost.ts'

export interface StepGeometry {
  /** B: rows */
  readonly rows: number
  /** S: requests */
  readonly seqs: number
  /** R: sampled rows */
  readonly sampled: number
  /** drafts proposed by the model's drafter per request; 0: the engine has no drafter */
  readonly drafts: number
  /** columns of the draft head: the vocabulary, or the part of it that drafts come from */
  readonly draftVocab: number
  /** blocks of the KV pool */
  readonly totalBlocks: number
  /** blocks of one request */
  readonly maxBlocks: number
}

export function stepGeometry(vocabSize: number, options: EngineOptions): StepGeometry {
  return {
    rows: options.maxNumBatchedTokens,
    seqs: options.maxNumSeqs,
    sampled: maxSampledRows(options),
    drafts: maxDraftPasses(options),
    draftVocab: draftVocabSize(options) ?? vocabSize,
    totalBlocks: totalBlocks(options),
    maxBlocks: cdiv(options.maxModelLen, BLOCK_SIZE),
  }
}
