/** The last steps of an engine and the live figures over them. Bounded memory; it never knows the document or a clock. */

import type { StepRecord } from '../index.ts'

export interface LiveFigures {
  readonly tokensPerSecond: number | undefined
  readonly tokensPerStep: number | undefined
  readonly rowsPerStep: number | undefined
  /** rows used of the rows there were, 0…1 */
  readonly budgetUse: number | undefined
  /** drafts accepted of the drafts verified, 0…1; undefined without drafts */
  readonly acceptance: number | undefined
}

const KEPT_RECORDS = 2000
/** Steps that the figures are taken over: a second or two on a slow adapter, steady enough to read on a fast one. */
const WINDOW = 32

export class StepHistory {
  #records: StepRecord[] = []

  /** At most `KEPT_RECORDS` and a few more, oldest first. */
  get records(): readonly StepRecord[] {
    return this.#records
  }

  push(record: StepRecord): void {
    this.#records.push(record)
    // Cut in larger pieces, so that a step does not move the whole array.
    if (this.#records.length >= KEPT_RECORDS * 1.25) this.#records = this.#records.slice(-KEPT_RECORDS)
  }

  clear(): void {
    this.#records = []
  }

  figures(): LiveFigures {
    return liveFigures(this.#records.slice(-WINDOW))
  }
}

/** Figures over these steps; the time is the engine's own, so pauses between requests do not count. */
export function liveFigures(records: readonly StepRecord[]): LiveFigures {
  let [rows, room, tokens, accepted, verified, ms] = [0, 0, 0, 0, 0, 0]
  for (const record of records) {
    rows += record.baseRows + record.draftRows + record.prefillRows
    room += record.limit
    tokens += record.committedTokens
    accepted += record.acceptedDrafts
    verified += record.draftRows
    ms += record.ms.schedule + record.ms.encode + record.ms.wait + record.ms.update
  }
  return {
    tokensPerSecond: ms > 0 ? (tokens / ms) * 1000 : undefined,
    tokensPerStep: records.length > 0 ? tokens / records.length : undefined,
    rowsPerStep: records.length > 0 ? rows / records.length : undefined,
    budgetUse: room > 0 ? rows / room : undefined,
    acceptance: verified > 0 ? accepted / verified : undefined,
  }
}
