import { describe, expect, it } from 'vitest'
import { DraftController } from '../../../../src/core/speculation/draftController.ts'
import {
  COSTS,
  type DraftCosts,
  fixedGoodputs,
  goodputOf,
  type SimulatedStep,
  type Surroundings,
  simulateDrafts,
} from '../../../helpers/draftSimulator.ts'

const DRAFTS = 4
const SEEDS = [1, 2, 3]

/** By the middle of a run every number of drafts has been measured well, also where one stream brings a trial a step. */
const QUIET_STEPS = 3000
const NOISY_STEPS = 4000

interface Case {
  readonly costs: DraftCosts
  readonly surroundings: Surroundings
  readonly noisy?: boolean
  readonly verifiedAtOnce?: boolean
  readonly seed?: number
}

function run({ costs, surroundings, noisy = false, verifiedAtOnce = false, seed = 1 }: Case): SimulatedStep[] {
  const policy = new DraftController({ numSpeculativeTokens: DRAFTS, verifiedAtOnce })
  const noise = noisy ? { noise: 0.1, strayEvery: 50 } : {}
  return simulateDrafts(policy, {
    ...noise,
    drafts: DRAFTS,
    costs,
    at: () => surroundings,
    steps: noisy ? NOISY_STEPS : QUIET_STEPS,
    seed,
    verifiedAtOnce,
  })
}

/** Goodput once settled, as a part of that of the best fixed number of drafts. */
function reached(some: Case): number {
  const best = Math.max(...fixedGoodputs(DRAFTS, some.costs, some.surroundings))
  const steps = run(some)
  return goodputOf(steps.slice(steps.length / 2)) / best
}

/** Of the first position, by seed: together they are a tenth apart. */
const ACCEPTANCES = [
  [0, 0.3, 0.6, 0.9],
  [0.1, 0.4, 0.7, 1],
  [0.2, 0.5, 0.8],
]

/** Constant by position, and falling. */
const DECAYS = [1, 0.8]

describe.each(Object.entries(COSTS))('with %s costs', (_, costs) => {
  it.each([1, 4, 16])('%i streams come within a fiftieth of the best fixed number of drafts', (streams) => {
    const missed: string[] = []
    for (const verifiedAtOnce of [false, true]) {
      const paid = verifiedAtOnce ? { ...costs, pass: () => 0 } : costs
      for (const noisy of [false, true]) {
        for (const seed of SEEDS) {
          for (const first of ACCEPTANCES[seed % ACCEPTANCES.length] ?? []) {
            for (const decay of DECAYS) {
              const acceptance = (_: number, position: number) => first * decay ** position
              const part = reached({ costs: paid, surroundings: { streams, acceptance }, noisy, verifiedAtOnce, seed })
              if (part < 0.98) missed.push(JSON.stringify({ part, first, decay, noisy, verifiedAtOnce, seed }))
            }
          }
        }
      }
    }
    expect(missed).toEqual([])
  })

  it('numbers of drafts that are equally good do not alternate', () => {
    for (const streams of [1, 4]) {
      const threshold = thresholdOf(costs, streams)
      for (const seed of SEEDS) {
        for (const noisy of [false, true]) {
          const surroundings = { streams, acceptance: () => threshold }
          const steps = run({ costs, surroundings, noisy, seed })
          expect(changes(steps)).toBeLessThan(steps.length / 100)
        }
      }
    }
  })
})

describe('requests of different acceptance', () => {
  const acceptance = (stream: number) => (stream % 2 === 0 ? 0.95 : 0)

  it.each([
    ['linear', 1.2],
    ['stepped', 1.15],
  ])('get different numbers of drafts where rows cost (%s): better than any number for all', (name, gain) => {
    const costs = COSTS[name] ?? expect.fail(name)
    expect(reached({ costs, surroundings: { streams: 4, acceptance } })).toBeGreaterThan(gain)
  })

  it('all get the same where rows cost nothing', () => {
    const costs = COSTS.flat ?? expect.fail('flat')
    const steps = run({ costs, surroundings: { streams: 4, acceptance } })
    expect(steps.every(({ decision }) => decision.fewer.size === 0)).toBe(true)
  })
})

/** An acceptance at which no drafts and some number of them are equally good, or the nearest there is. */
function thresholdOf(costs: DraftCosts, streams: number): number {
  let low = 0
  let high = 1
  for (let i = 0; i < 30; i++) {
    const middle = (low + high) / 2
    const [none = 0, ...some] = fixedGoodputs(DRAFTS, costs, { streams, acceptance: () => middle })
    if (Math.max(...some) > none) high = middle
    else low = middle
  }
  return high
}

/** How often the number of drafts changed, but for probes. */
function changes(steps: readonly SimulatedStep[]): number {
  const held = steps.filter(({ decision }) => decision.reason !== 'probe').map(({ decision }) => decision.k)
  return held.filter((k, i) => i > 0 && k !== held[i - 1]).length
}
