/** Random runs of a policy that chooses drafts, and what they took beyond what their tokens would have taken without. */

import fc from 'fast-check'
import { ALLOWANCE, LARGEST_PURSE, OPENING_PURSE } from '../../src/core/speculation/draftLedger.ts'
import type { DraftPolicy } from '../../src/core/speculation/draftPolicy.ts'
import { at } from '../../src/util/math.ts'
import { type DraftCosts, type SimulatedStep, type Surroundings, simulateDrafts } from './draftSimulator.ts'

/** The most drafts. */
export const DRAFTS = 4

/**
 * What a run took beyond what its tokens would have taken without drafts and the allowance: the most of it from the beginning to
 * any step, and over any part. Not counted is what nobody can know before: a size that runs for the first time, a number of
 * streams of which no step ran without drafts, steps with prompts, whose sizes differ, except for half of their allowance, and what
 * the drafter takes to catch up before it was measured three times.
 */
export function excess(steps: readonly SimulatedStep[], costs: DraftCosts) {
  const sizes = new Set<string>()
  const bases = new Set<number>()
  let whole = 0
  let part = 0
  let run = 0
  let sum = 0
  let largest = 0
  let measured = 0
  const take = (loss: number) => {
    sum += loss
    run = Math.max(0, run + loss)
    whole = Math.max(whole, sum)
    part = Math.max(part, run)
  }
  for (const { rows, passes, streams, tokens, prefillRows, catchUpRows, kvPassRows, trueMs } of steps) {
    const base = costs.target(streams)
    const bare = catchUpRows > 0 && rows === streams && passes === 0
    const unknown = measured < 3 ? (bare ? kvPassRows : catchUpRows) * (costs.kvRow ?? 0) : 0
    if (bare && bases.has(streams)) measured++
    if (prefillRows > 0) {
      if (bases.has(streams)) take((-ALLOWANCE / 2) * base)
      continue
    }
    const size = `${rows} ${passes}`
    if (sizes.has(size) && bases.has(streams)) {
      const loss = trueMs - unknown - ((base * tokens) / streams) * (1 + ALLOWANCE)
      largest = Math.max(largest, loss)
      take(loss)
    }
    // While the drafter catches up nobody can tell what the size takes by itself.
    if (catchUpRows === 0) sizes.add(size)
    if (passes === 0) bases.add(rows)
  }
  const step = Math.max(...steps.map(({ streams }) => costs.target(streams)))
  return {
    whole,
    part,
    mayWhole: OPENING_PURSE * step + 2 * largest + 1e-6,
    mayPart: LARGEST_PURSE * step + 2 * largest + 1e-6,
  }
}

export interface Phase {
  readonly steps: number
  readonly streams: number
  readonly acceptance: number
  /** prompts run beside in one step of so many, 0: never */
  readonly every: number
  readonly prefillRows: number
}

export const PHASES = fc.array(
  fc.record({
    steps: fc.integer({ min: 1, max: 200 }),
    streams: fc.integer({ min: 1, max: 5 }),
    acceptance: fc.constantFrom(0, 0.2, 0.5, 0.8, 1),
    every: fc.constantFrom(0, 0, 1, 2, 7),
    prefillRows: fc.integer({ min: 1, max: 6 }),
  }),
  { minLength: 1, maxLength: 8 },
)

/** @param promptTokens of a request that comes new, which the drafter may have to catch up on */
export function simulatePhases(
  policy: DraftPolicy,
  phases: readonly Phase[],
  costs: DraftCosts,
  seed: number,
  promptTokens = 0,
): SimulatedStep[] {
  const plan = phases.flatMap((phase) => Array.from({ length: phase.steps }, () => phase))
  const surroundings = (step: number): Surroundings => {
    const { streams, acceptance, every, prefillRows } = at(plan, step)
    return { streams, acceptance: () => acceptance, prefillRows: every > 0 && step % every === 0 ? prefillRows : 0 }
  }
  return simulateDrafts(policy, { drafts: DRAFTS, costs, at: surroundings, steps: plan.length, seed, promptTokens })
}
