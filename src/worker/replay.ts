/**
 * The module of `LLM.replay`, which most pages never need: a file of its own, with a scheduler of its own. Its errors are data,
 * because the worker's own class of errors is another one.
 */

import { replayTrace } from '../engine/trace/replay.ts'
import type { Replay } from '../protocol/replay.ts'
import type { Outcome } from '../protocol/service.ts'
import { outcome } from './outcome.ts'

export function replay(trace: string): Promise<Outcome<Replay>> {
  return outcome(() => replayTrace(trace))
}
