/** Runs of the controller against cost models, in the setting that the laws about it share. */

import { expect } from 'vitest'
import type { DraftPolicy } from '../../src/core/speculation/draftPolicy.ts'
import { GoodputController } from '../../src/core/speculation/goodputController.ts'
import { COSTS, type DraftCosts, type SimulatedStep, type Surroundings, simulateDrafts } from './draftSimulator.ts'

/** The most drafts. */
export const DRAFTS = 4

/** One whose drafts come of passes on the device. */
export function controller(): GoodputController {
  return new GoodputController({ numSpeculativeTokens: DRAFTS, verifiedAtOnce: false })
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

/** How often the number of drafts changed, as a part of the steps, but for probes and what they wait for. */
export function changes(steps: readonly SimulatedStep[]): number {
  const held = steps.map(({ decision }) => decision).filter(({ reason }) => reason !== 'probe' && reason !== 'catch-up')
  return held.filter(({ k }, i) => i > 0 && k !== held[i - 1]?.k).length / steps.length
}
