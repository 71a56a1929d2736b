/** The duration of a step on the simulated device, in milliseconds: a function of its size alone. */

export type RowCost =
  /** `base` plus `perRow` per row: a compute-bound device */
  | { readonly kind: 'linear'; readonly base: number; readonly perRow: number }
  /** `base` plus `perStep` per tile of `rows`, the last one rounded up */
  | { readonly kind: 'stepped'; readonly base: number; readonly rows: number; readonly perStep: number }
  /** the same for every step */
  | { readonly kind: 'flat'; readonly perStep: number }

export interface StepCost {
  readonly rows: RowCost
  /** per draft pass; a step has as many passes as the most drafts that any of its requests proposes */
  readonly perDraftPass: number
  /** per row of the drafter's KV pass */
  readonly perKvPassRow: number
}

export function stepMilliseconds(cost: StepCost, rows: number, draftPasses: number, kvPassRows: number): number {
  return rowMilliseconds(cost.rows, rows) + draftPasses * cost.perDraftPass + kvPassRows * cost.perKvPassRow
}

function rowMilliseconds(cost: RowCost, rows: number): number {
  switch (cost.kind) {
    case 'linear':
      return cost.base + cost.perRow * rows
    case 'stepped':
      return cost.base + cost.perStep * Math.ceil(rows / cost.rows)
    case 'flat':
      return cost.perStep
  }
}
