/** Checks an engine's greedy answers against golden records: ids, drafts by committed length, accepted counts. */

import { expect } from 'vitest'
import type { EngineRequestEnd } from '../../src/engine/engineTypes.ts'
import type { RequestStep } from '../../src/protocol/request.ts'
import { bindingIds, type Golden, type GoldenCase, type GoldenRecord, recordKind } from './golden.ts'
import type { TestEngine } from './testEngine.ts'

/** What was compared, so that a test can say that it compared something. */
export interface Compared {
  ids: number
  drafts: number
  accepted: number
}

/** Runs the cases together, as far as each record goes, and checks every answer. */
export async function checkGolden(engine: TestEngine, golden: Golden): Promise<Compared> {
  const compared: Compared = { ids: 0, drafts: 0, accepted: 0 }
  const kind = recordKind(engine.options.kvCacheDtype)
  const tolerance = golden.tolerance[kind].gap
  const ends = await engine.run(
    golden.cases.map((each) => ({ prompt: each.prompt_ids, maxTokens: each[kind].greedy_ids.length })),
  )
  golden.cases.forEach((each, index) => {
    const end = ends[index] as EngineRequestEnd
    const binding = bindingIds(each[kind].greedy_ids, each[kind].greedy_gap, tolerance)
    expect(end.tokenIds.slice(0, binding.length), `case ${index}: ids`).toEqual(binding)
    expect(end.tokenIds).toHaveLength(each[kind].greedy_ids.length)
    compared.ids += binding.length
    const bound = each.prompt_ids.length + binding.length
    checkSteps(end.debug?.steps ?? [], each, each[kind], bound, tolerance, compared)
  })
  return compared
}

/**
 * Checks the steps of one answer.
 * @param bound committed length up to which the ids bind
 */
export function checkSteps(
  steps: readonly RequestStep[],
  each: GoldenCase,
  record: GoldenRecord,
  bound: number,
  tolerance: number,
  compared: Compared,
): void {
  const drafts = new Map((record.drafts ?? []).map(([length, ids, gaps]) => [length, bindingIds(ids, gaps, tolerance)]))
  const committed = [...each.prompt_ids, ...record.greedy_ids]
  for (const step of steps) {
    const following = committed.slice(step.at, bound)
    if (following.length > step.verified.length) {
      const mismatch = step.verified.findIndex((id, j) => id !== following[j])
      expect(step.accepted, `accepted at ${step.at}`).toBe(mismatch < 0 ? step.verified.length : mismatch)
      compared.accepted++
    }
    const length = step.at + step.accepted + 1
    const expected = length <= bound ? drafts.get(length)?.slice(0, step.proposed.length) : undefined
    if (!expected) continue
    expect(step.proposed.slice(0, expected.length), `drafts at length ${length}`).toEqual(expected)
    compared.drafts += expected.length
  }
}
