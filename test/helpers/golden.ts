/** Outputs of an independent float64 implementation, and how far they bind: ids up to the first gap below the tolerance. */

import { readFileSync } from 'node:fs'
import { expect } from 'vitest'
import type { KvCacheDtype } from '../../src/protocol/engineOptions.ts'
import type { ModelName } from './folderFetch.ts'

export interface GoldenRecord {
  readonly last_logits_top8: readonly (readonly [id: number, logit: number])[]
  readonly last_logits_logsumexp: number
  /** [layers]: norms of the last prompt row after each block */
  readonly layer_output_l2: readonly number[]
  readonly final_hidden_l2: number
  readonly greedy_ids: readonly number[]
  readonly greedy_gap: readonly number[]
  /** of a model with a drafter: committed length, drafts at that length, gap of each */
  readonly drafts?: readonly (readonly [length: number, ids: readonly number[], gaps: readonly number[]])[]
}

export interface GoldenCase {
  readonly prompt_ids: readonly number[]
  readonly kv_exact: GoldenRecord
  readonly kv_f16: GoldenRecord
}

export interface Golden {
  readonly tolerance: Readonly<Record<'kv_exact' | 'kv_f16', { readonly gap: number; readonly logits: number }>>
  readonly cases: readonly GoldenCase[]
}

export function loadGolden(model: ModelName): Golden {
  const own = model === 'fairy-tales' || model === 'qwen3-mtp'
  const path = own ? `../golden/${model}.json` : `../fixtures/${model}/golden.json`
  return JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'))
}

/** The record that a cache of this type reproduces. */
export function recordKind(kv: KvCacheDtype): 'kv_exact' | 'kv_f16' {
  return kv === 'f32' ? 'kv_exact' : 'kv_f16'
}

/** The ids that bind: those before the first gap below the tolerance. */
export function bindingIds(ids: readonly number[], gaps: readonly number[], tolerance: number): readonly number[] {
  const end = gaps.findIndex((gap) => gap < tolerance)
  return end < 0 ? ids : ids.slice(0, end)
}

/** Compares the eight largest logits, and log ∑ exp of all of them. */
export function checkLogits(row: Float32Array, each: GoldenCase, kind: 'kv_exact' | 'kv_f16', tolerance: number): void {
  for (const [id, logit] of each[kind].last_logits_top8) {
    expect(Math.abs((row[id] ?? Number.NaN) - logit), `logit of ${id}`).toBeLessThan(tolerance)
  }
  const peak = Math.max(...row)
  const sum = row.reduce((total, logit) => total + Math.exp(logit - peak), 0)
  expect(Math.abs(peak + Math.log(sum) - each[kind].last_logits_logsumexp)).toBeLessThan(tolerance)
}
