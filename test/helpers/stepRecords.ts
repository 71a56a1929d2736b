/** Step records for tests: any step that an engine may report, drawn by fast-check or written by hand. */
import fc from 'fast-check'
import type { StepRecord } from '../../src/protocol/stepRecord.ts'

/** A record with these fields; draft rows are the accepted and the rejected ones. */
export function stepRecord(fields: Partial<StepRecord> = {}): StepRecord {
  const { acceptedDrafts = 0, rejectedDrafts = 0, baseRows = 0, prefillRows = 0 } = fields
  const draftRows = acceptedDrafts + rejectedDrafts
  return {
    step: 1,
    policy: 'exact',
    limit: 64,
    baseRows,
    draftRows,
    prefillRows,
    chargedRows: baseRows + draftRows + prefillRows,
    acceptedDrafts,
    rejectedDrafts,
    proposedDrafts: 0,
    committedTokens: baseRows + acceptedDrafts,
    cachedTokens: 0,
    preempted: 0,
    recomputedTokens: 0,
    running: baseRows,
    waiting: 0,
    usedBlocks: 0,
    totalBlocks: 512,
    ms: { schedule: 0.25, encode: 1, wait: 30, update: 0.75 },
    ...fields,
  }
}

const rows = fc.nat({ max: 300 })

/** Consecutive steps at one limit, overruns included. */
export const stepRecords = (limit: number, maxLength = 400): fc.Arbitrary<StepRecord[]> =>
  fc
    .array(fc.record({ baseRows: rows, acceptedDrafts: rows, rejectedDrafts: rows, prefillRows: rows }), { maxLength })
    .map((steps) => steps.map((fields, index) => stepRecord({ ...fields, step: index + 1, limit })))
