/** Runs of the controller against cost models, in the setting that most laws about it share. */

import { expect } from 'vitest'
import { DraftController } from '../../src/core/speculation/draftController.ts'
import type { DraftPolicy } from '../../src/core/speculation/draftPolicy.ts'
import { DRAFTS } from './draftExcess.ts'
import { COSTS, type DraftCosts, type SimulatedStep, type Surroundings, simulateDrafts } from './draftSimulator.ts'

/** One whose drafts come of passes on the device. */
export function controller(): DraftController {
  return new DraftController({ numSpeculativeTokens: DRAFTS, verifiedAtOnce: false })
}

export function costsOf(name: string): DraftCosts {
  return COSTS[name] ?? expect.fail(name)
}

export function run(
  costs: DraftCosts,
  steps: number,
  at: (step: number) => Surroundings,
  policy: DraftPolicy = controller(),
): SimulatedStep[] {
  return simulateDrafts(policy, { drafts: DRAFTS, costs, at, steps, seed: 3, maxRows: 256 })
}
