/**
 * What a step and a request cost, in rows and KV blocks. Option checks, scheduler, runner and tests all count with these
 * functions, so that no two of them can disagree. Pure; it must never know why a request got its rows.
 */

import type { EngineOptions } from '../protocol/engineOptions.ts'
import { MOST_DRAFTS } from '../protocol/ranges.ts'
import { cdiv } from '../util/math.ts'

/** Tokens of a KV block. */
export const BLOCK_SIZE = 16

/** The most drafts of a request that the runner's request table holds. */
export const MAX_SPECULATIVE_TOKENS = MOST_DRAFTS

/** The rows of a request in a step, as far as they decide its cost. */
export interface RowCounts {
  /** all its rows */
  readonly n: number
  /** drafts verified, among n */
  readonly k: number
  /** drafts proposed at the step's end */
  readonly m: number
  /** its last k + 1 rows are sampled */
  readonly samples: boolean
}

/** The rows of a request in the drafter's KV pass. */
export interface KvPassCounts {
  /** rows of earlier steps that the drafter catches up on */
  readonly catchUp: number
  /** whether the request's rows of this step are in the pass */
  readonly inKvPass: boolean
  readonly n: number
}

/** Drafts per request and step at most. Without `speculative` it is 0, and no other speculative field is read. */
export function numSpeculativeTokens(options: Pick<EngineOptions, 'speculative'>): number {
  return options.speculative === undefined ? 0 : options.speculative.numSpeculativeTokens
}

/** Draft passes of a step at most: 0 where drafts come with the plan. */
export function maxDraftPasses(options: Pick<EngineOptions, 'speculative'>): number {
  return options.speculative?.method === 'mtp' ? options.speculative.numSpeculativeTokens : 0
}

/** Tokens that draft passes choose from; undefined: all of the vocabulary, or there are no passes. */
export function draftVocabSize(options: Pick<EngineOptions, 'speculative'>): number | undefined {
  const { speculative } = options
  return speculative?.method === 'mtp' && maxDraftPasses(options) > 0 ? speculative.draftVocabSize : undefined
}

/** Rows of the target model. */
export function targetRows(requests: Iterable<Pick<RowCounts, 'n'>>): number {
  let rows = 0
  for (const { n } of requests) rows += n
  return rows
}

/** Rows of the drafter's KV pass: at most B, like those of the target model. */
export function kvPassRows(requests: Iterable<KvPassCounts>): number {
  let rows = 0
  for (const { catchUp, inKvPass, n } of requests) rows += catchUp + (inKvPass ? n : 0)
  return rows
}

/** Rows of the first draft pass, the largest: one per request that drafts. */
export function drafterRows(requests: Iterable<Pick<RowCounts, 'm'>>): number {
  let rows = 0
  for (const { m } of requests) if (m > 0) rows++
  return rows
}

/** Rows whose logits are needed. */
export function sampledRows(requests: Iterable<Pick<RowCounts, 'k' | 'samples'>>): number {
  let rows = 0
  for (const { k, samples } of requests) if (samples) rows += k + 1
  return rows
}

/** R: the most sampled rows in a step, the size of the logits buffer. */
export function maxSampledRows(
  options: Pick<EngineOptions, 'maxNumBatchedTokens' | 'maxNumSeqs' | 'speculative'>,
): number {
  return Math.min(options.maxNumBatchedTokens, options.maxNumSeqs * (1 + numSpeculativeTokens(options)))
}

/** Rows of one prompt in a step at most. @param threshold `longPrefillTokenThreshold`; 0: no bound */
export function chunkRows(remaining: number, threshold: number): number {
  return threshold > 0 ? Math.min(remaining, threshold) : remaining
}

/** KV blocks that hold `tokens` tokens. */
export function blocksNeeded(tokens: number): number {
  return cdiv(tokens, BLOCK_SIZE)
}

/** KV blocks of the pool. */
export function totalBlocks(options: Pick<EngineOptions, 'kvCacheTokens'>): number {
  return Math.floor(options.kvCacheTokens / BLOCK_SIZE)
}

/** Tokens of a request, prompt and output, at its end at the latest. */
export function maxTotalTokens(
  promptTokens: number,
  maxTokens: number,
  options: Pick<EngineOptions, 'maxModelLen'>,
): number {
  return Math.min(options.maxModelLen, promptTokens + maxTokens)
}

/**
 * Tokens that need a KV slot by the end of a step: the first draft pass runs on a row of the step, each one after it writes
 * the drafter's slot one position further. Never past the request's last possible position, whose writes are skipped.
 */
export function slotsNeeded(computed: number, n: number, m: number, maxTotal: number): number {
  return Math.min(computed + n + Math.max(0, m - 1), maxTotal)
}

/** Blocks that stay free when a request is admitted beside others: unless none are asked for, one at least. */
export function watermarkBlocks(options: Pick<EngineOptions, 'kvCacheTokens' | 'watermark'>): number {
  return Math.ceil(options.watermark * totalBlocks(options))
}

/**
 * Free blocks without which a request is not admitted: for all tokens it knows, and beside other running requests the
 * watermark. Blocks that it finds in the cache and that others hold count as free.
 * @param running requests that run already
 */
export function admissionBlocks(
  knownTokens: number,
  running: number,
  options: Pick<EngineOptions, 'kvCacheTokens' | 'watermark'>,
): number {
  return blocksNeeded(knownTokens) + (running > 0 ? watermarkBlocks(options) : 0)
}

/** Whether a request of `maxTotal` tokens is admitted, at its longest, when it runs alone; so it can run to its end. */
export function servable(maxTotal: number, options: Pick<EngineOptions, 'kvCacheTokens' | 'watermark'>): boolean {
  return admissionBlocks(maxTotal, 0, options) <= totalBlocks(options)
}
