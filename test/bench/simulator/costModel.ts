/** How long a step takes on the simulated device: a function of its size alone. Milliseconds. */

export type RowCost =
  /** `base` and so much per row: a device that has much to do for each */
  | { readonly kind: 'linear'; readonly base: number; readonly perRow: number }
  /** `base` and `perStep` for every begun group of `rows`: tiles */
  | { readonly kind: 'stepped'; readonly base: number; readonly rows: number; readonly perStep: number }
  /** the same for every step */
  | { readonly kind: 'flat'; readonly perStep: number }

export interface StepCost {
  readonly rows: RowCost
  /** of one draft pass; a step runs as many as the most drafts that one of its requests proposes */
  readonly perDraftPass: number
  /** of a row of the drafter's KV pass */
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
