/** Texts about a step, such as the numbers of the step under the pointer. They must never know how they are shown. */

import type { StepRecord } from '../protocol/stepRecord.ts'

/** A step refused with BUDGET_EXCEEDED: it did not run, so it has no record. */
export interface RefusedStep {
  readonly step: number
  readonly rows: number
  readonly limit: number
}

/** A name and its formatted value. */
export type Figure = readonly [name: string, value: string]

/** The rows that a step computed, as opposed to those it was charged. */
export function rowsOf(record: StepRecord): number {
  return record.baseRows + record.draftRows + record.prefillRows
}

/** The numbers of one step, most important first. */
export function stepFigures(record: StepRecord): readonly Figure[] {
  const rows = rowsOf(record)
  const { ms } = record
  const figures: Figure[] = [
    ['rows', `${rows} of ${record.limit}`],
    ['base', `${record.baseRows}`],
    ['drafts accepted', `${record.acceptedDrafts}`],
    ['drafts rejected', `${record.draftRows - record.acceptedDrafts}`],
    ['prefill', `${record.prefillRows}`],
    ['committed tokens', `${record.committedTokens}`],
    ['running, waiting', `${record.running}, ${record.waiting}`],
    ['KV blocks', `${record.usedBlocks} of ${record.totalBlocks}`],
    ['time', `${(ms.schedule + ms.encode + ms.wait + ms.update).toFixed(1)} ms`],
  ]
  if (record.chargedRows !== rows) figures.splice(1, 0, ['charged', `${record.chargedRows}`])
  if (record.drafts) figures.push(['drafts chosen', `${record.drafts.k}, ${record.drafts.reason}`])
  if (record.preempted > 0) figures.push(['preempted', `${record.preempted}`])
  return figures
}

export function refusedFigures(refused: RefusedStep): readonly Figure[] {
  return [
    ['refused', 'BUDGET_EXCEEDED'],
    ['rows asked', `${refused.rows}`],
    ['room for', `${refused.limit}`],
  ]
}

/** The step-token chart as one sentence, for screen readers. */
export function chartSummary(records: readonly StepRecord[], limit: number, refused?: RefusedStep): string {
  if (records.length === 0 && !refused) return `Step-token chart, no steps yet; at most ${limit} rows in a step.`
  const rows = records.map(rowsOf)
  const most = rows.reduce((a, b) => Math.max(a, b), 0)
  const mean = rows.length > 0 ? rows.reduce((a, b) => a + b, 0) / rows.length : 0
  const end = refused ? ` Step ${refused.step} was refused: ${refused.rows} rows, room for ${refused.limit}.` : ''
  return `Step-token chart of ${records.length} steps: ${mean.toFixed(1)} rows on average, ${most} at most, limit ${limit}.${end}`
}
