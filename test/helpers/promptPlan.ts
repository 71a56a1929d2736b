/** A plan by hand, for tests of a runner without an engine. */

import { GREEDY } from '../../src/core/samplingParams.ts'
import type { StepPlan } from '../../src/core/stepPlan.ts'

/**
 * One prompt of at most a block, sampled at its end.
 * @param follows whether the drafter takes up its rows
 */
export function promptPlan(step: number, ids: readonly number[], inKvPass = false): StepPlan {
  return {
    step,
    rows: ids.length,
    sampledRows: 1,
    kvPassRows: inKvPass ? ids.length : 0,
    requests: [
      {
        requestId: 0,
        tableRow: 0,
        generation: 1,
        n: ids.length,
        k: 0,
        m: 0,
        samples: true,
        firstPosition: 0,
        ids,
        drafts: undefined,
        nextToken: -1,
        inKvPass,
        catchUpFrom: 0,
        catchUpTokens: [],
      },
    ],
    tableWrites: [
      {
        tableRow: 0,
        generation: 1,
        computed: 0,
        lastPosition: 15,
        firstOutputPosition: ids.length,
        sampling: GREEDY,
        history: undefined,
      },
    ],
    blockWrites: [{ tableRow: 0, index: 0, block: 0 }],
  }
}
