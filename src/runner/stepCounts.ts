/** How many entries of its buffers a step uses, from which the grid of every dispatch follows. */

import type { GpuGeometry } from './gpuGeometry.ts'

export interface StepCounts {
  readonly rows: number
  readonly sampled: number
  /** sampled rows that adjustLogits runs on: all, or 0 where no request has penalties or a bias */
  readonly adjusted: number
  readonly requests: number
  /** rows of the drafter's KV pass */
  readonly kvPass: number
  /** requests in draft pass 0, 1, …, non-increasing */
  readonly drafting: readonly number[]
  /** attention items of the target pass */
  readonly items: number
  /** rows whose attention partials are merged */
  readonly merges: number
}

/** Whether the drafter runs in this step. */
export function drafterRuns({ kvPass, drafting }: StepCounts): boolean {
  return kvPass > 0 || (drafting[0] ?? 0) > 0
}

/** Upper bounds of the counts over all steps. */
export function mostCounts({ rows, sampled, seqs, drafts, maxParts }: GpuGeometry): StepCounts {
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
