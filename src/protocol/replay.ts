/** What a replayed trace gives. Plain data, no behaviour. */

import type { EngineOptions } from './engineOptions.ts'
import type { ErrorData } from './errors.ts'
import type { SpeculationStats } from './speculation.ts'
import type { StepRecord } from './stepRecord.ts'

/** The fatal error with which a trace ends. */
export interface ReplayFailure extends ErrorData {
  /** the last step that was planned, 0 before the first; of BUDGET_EXCEEDED the one whose plan the buffers refused */
  readonly step: number
}

export interface Replay {
  /** those of the engine that was traced */
  readonly options: EngineOptions
  /** one per step that ended, as the engine reported it, with the times it measured */
  readonly records: readonly StepRecord[]
  /** what came of the drafts of these steps */
  readonly speculation: SpeculationStats
  /** requests that were added; a generation counts as `n` */
  readonly requests: number
  /** plans made anew, each byte for byte the one that was traced; with a refused one that is one more than the records */
  readonly plans: number
  readonly failure?: ReplayFailure
}
