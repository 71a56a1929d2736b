/** Lays out the rows of the target model's pass: the chunks of prompts, and of decoding requests the last token and the drafts. */

import type { StepGeometry } from '../core/stepGeometry.ts'
import type { PlannedRequest, StepPlan } from '../core/stepPlan.ts'
import { at } from '../util/math.ts'
import { BatchRows } from './batchRows.ts'
import type { RequestTable, TableRow } from './requestTable.ts'

/** A request of the step with its rows. */
export interface RequestRows {
  readonly planned: PlannedRequest
  readonly table: TableRow
  readonly firstPosition: number
  /** [n] input tokens; a view that the next step overwrites */
  readonly ids: Int32Array
}

export class TargetRows {
  readonly batch: BatchRows
  readonly #sampled: Int32Array // [R]

  constructor({ rows, sampled }: Pick<StepGeometry, 'rows' | 'sampled'>) {
    this.batch = new BatchRows(rows)
    this.#sampled = new Int32Array(sampled)
  }

  /** Fills the batch from a plan that was checked to fit, after its table writes. */
  fill({ requests }: StepPlan, table: RequestTable): readonly RequestRows[] {
    this.batch.clear()
    return requests.map((planned) => this.#push(planned, table.row(planned)))
  }

  /** The rows whose logits are needed: of each request that samples the last k + 1. @returns a view of them */
  sampled({ requests }: StepPlan): Int32Array {
    let end = 0
    let count = 0
    for (const { n, k, samples } of requests) {
      end += n
      if (samples) for (let row = end - k - 1; row < end; row++) this.#sampled[count++] = row
    }
    return this.#sampled.subarray(0, count)
  }

  #push(planned: PlannedRequest, table: TableRow): RequestRows {
    const { batch } = this
    const firstRow = batch.count
    const firstPosition = planned.ids ? planned.firstPosition : table.computed
    for (let offset = 0; offset < planned.n; offset++) {
      batch.push(table, inputToken(planned, table, offset), firstPosition + offset)
    }
    return { planned, table, firstPosition, ids: batch.ids.subarray(firstRow, batch.count) }
  }
}

function inputToken(
  { ids, drafts }: PlannedRequest,
  { lastToken, drafts: proposed }: TableRow,
  offset: number,
): number {
  if (ids) return at(ids, offset)
  return offset === 0 ? lastToken : at(drafts ?? proposed, offset - 1)
}
