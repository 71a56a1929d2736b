/** What speculation did for an answer: the means from the counts, and the counts of several answers together. */

import type { SpeculationUsage } from '../protocol/request.ts'
import { meanAcceptedLength } from './acceptance.ts'

export type SpeculationCounts = Omit<SpeculationUsage, 'mean_accepted_length' | 'tokens_per_step'>

/** @param completionTokens of the answer that the counts are of */
export function speculationUsage(counts: SpeculationCounts, completionTokens: number): SpeculationUsage {
  const { steps, verified_by_position, accepted_by_position } = counts
  return {
    ...counts,
    mean_accepted_length: meanAcceptedLength(verified_by_position, accepted_by_position),
    tokens_per_step: steps > 0 ? completionTokens / steps : 0,
  }
}

/** The counts of answers of one engine, at least one, added up. */
export function summedCounts(counts: readonly SpeculationCounts[]): SpeculationCounts {
  const sum = (count: (one: SpeculationCounts) => number): number => counts.reduce((all, one) => all + count(one), 0)
  const byPosition = (of: (one: SpeculationCounts) => readonly number[]): number[] =>
    (counts[0] ? of(counts[0]) : []).map((_, position) => sum((one) => of(one)[position] ?? 0))
  return {
    steps: sum(({ steps }) => steps),
    proposed_tokens: sum(({ proposed_tokens }) => proposed_tokens),
    verified_by_position: byPosition(({ verified_by_position }) => verified_by_position),
    accepted_by_position: byPosition(({ accepted_by_position }) => accepted_by_position),
  }
}
