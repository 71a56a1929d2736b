/** The step that a BUDGET_EXCEEDED speaks of: it never ran, so no record tells its rows. */

import type { RefusedStep } from '../chart/stepText.ts'
import type { StepRecord, WeirError } from '../index.ts'

/** @param records of the steps before it */
export function refusedStep(error: WeirError, records: readonly StepRecord[]): RefusedStep {
  const { step, rows, limit } = error.details
  return {
    step: Number(step ?? (records.at(-1)?.step ?? 0) + 1),
    rows: Number(rows),
    limit: Number(limit),
  }
}
