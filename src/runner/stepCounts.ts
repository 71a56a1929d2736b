/** How much of its buffers a step uses: what decides the grid of every dispatch. */

import type { StepGeometry } from './geometry.ts'

export interface StepCounts {
  readonly rows: number
  readonly sampled: number
  /** of them, as many as must be looked at because a request adjusts its logits: all, or 0 where none does */
  readonly adjusted: number
  readonly requests: number
  /** rows of the drafter's KV pass */
  readonly kvPass: number
  /** requests that draft in pass 0, 1, …, never more than in the one before */
  readonly drafting: readonly number[]
  /** attention items of the target pass */
  readonly items: number
  /** rows whose attention partials are merged */
  readonly merges: number
}

/** Whether the drafter has anything to do. */
export function drafterRuns({ kvPass, drafting }: StepCounts): boolean {
  return kvPass > 0 || (drafting[0] ?? 0) > 0
}

/** The counts that no step exceeds. */
export function mostCounts({ rows, sampled, seqs, drafts, maxParts }: StepGeometry): StepCounts {
  return {
    rows,
    sampled,
    adjusted: sampled,
    requests: seqs,
    kvPass: rows,
    drafting: new Array<number>(drafts).fill(seqs),
    items: rows + maxParts,
    merges: rows,
  }
}
