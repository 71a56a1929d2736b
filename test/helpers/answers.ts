/** The parts of an answer that must not depend on how a request was run, and their comparison between two runs of it. */

import { expect } from 'vitest'
import type { EngineRequestEnd } from '../../src/engine/engineTypes.ts'
import type { RequestStep } from '../../src/protocol/request.ts'

export interface Answer {
  readonly ids: readonly number[]
  /** one digest per id */
  readonly logits: readonly unknown[]
}

export function answer(end: EngineRequestEnd): Answer {
  return { ids: end.tokenIds, logits: end.debug?.logits ?? [] }
}

export function cachedTokens(end: EngineRequestEnd): number {
  return end.usage.prompt_tokens_details.cached_tokens
}

export function preemptions(end: EngineRequestEnd): number {
  return steps(end).filter((step) => step.preempted).length
}

/**
 * Checks ids, digests, drafts and accepted counts against another run of the same requests. Drafts are a function of the
 * committed tokens, so they are compared where both runs proposed some at a length; how many does not matter.
 * @returns lengths at which drafts were compared
 */
export function expectSame(ends: readonly EngineRequestEnd[], expected: readonly EngineRequestEnd[]): number {
  expect(ends.map(answer)).toEqual(expected.map(answer))
  let compared = 0
  ends.forEach((end, index) => {
    const drafts = draftsByLength(expected[index] as EngineRequestEnd)
    for (const [length, ids] of draftsByLength(end)) {
      const others = drafts.get(length)
      if (!others) continue
      const most = Math.min(ids.length, others.length)
      expect(ids.slice(0, most), `drafts of answer ${index} at length ${length}`).toEqual(others.slice(0, most))
      compared++
    }
    for (const step of steps(end)) {
      const following = end.tokenIds.slice(step.at - end.usage.prompt_tokens)
      const mismatch = step.verified.findIndex((id, j) => id !== following[j])
      const accepted = mismatch < 0 ? step.verified.length : mismatch
      expect(step.accepted, `accepted of answer ${index} at length ${step.at}`).toBe(accepted)
    }
  })
  return compared
}

/** The drafts proposed at each committed length. */
export function draftsByLength(end: EngineRequestEnd): Map<number, readonly number[]> {
  const proposing = steps(end).filter(({ proposed }) => proposed.length > 0)
  return new Map(proposing.map(({ at, accepted, proposed }) => [at + accepted + 1, proposed]))
}

function steps(end: EngineRequestEnd): readonly RequestStep[] {
  return end.debug?.steps ?? []
}
