import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { meanAcceptedLength } from '../../../src/metrics/acceptance.ts'
import { type SpeculationCounts, speculationUsage, summedCounts } from '../../../src/metrics/speculationUsage.ts'
import { sum } from '../../../src/util/math.ts'

const POSITIONS = 3

/** Counts of some steps: how many drafts each verified, and how many of them were right. */
const counts: fc.Arbitrary<SpeculationCounts> = fc
  .array(fc.tuple(fc.nat(POSITIONS), fc.nat(POSITIONS)).filter(([verified, accepted]) => accepted <= verified))
  .map((steps) => ({
    steps: steps.length,
    proposed_tokens: POSITIONS * steps.length,
    verified_by_position: [1, 2, 3].map((j) => steps.filter(([verified]) => verified >= j).length),
    accepted_by_position: [1, 2, 3].map((j) => steps.filter(([, accepted]) => accepted >= j).length),
  }))

describe('the mean accepted length', () => {
  it('is that of the runs: accepted drafts and the token after them', () => {
    fc.assert(
      fc.property(counts, ({ verified_by_position: verified, accepted_by_position: accepted }) => {
        const mean = meanAcceptedLength(verified, accepted)
        const runs = verified[0] ?? 0
        expect(mean * runs).toBeCloseTo(runs + sum(accepted), 9)
        expect(mean).toBeLessThanOrEqual(1 + POSITIONS)
        if (runs > 0) expect(mean).toBeGreaterThanOrEqual(1)
      }),
    )
  })

  it('is 0 when nothing was verified, or nothing can be', () => {
    expect(meanAcceptedLength([0, 0], [0, 0])).toBe(0)
    expect(meanAcceptedLength([], [])).toBe(0)
  })
})

describe('the usage of several answers together', () => {
  it('adds counts up position by position, and its means are those of the sums', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(counts, fc.nat(50)), { minLength: 1, maxLength: 5 }), (answers) => {
        const all = summedCounts(answers.map(([one]) => one))
        expect(sum(all.verified_by_position)).toBe(
          sum(answers.map(([{ verified_by_position }]) => sum(verified_by_position))),
        )
        for (let j = 0; j < POSITIONS; j++) {
          expect(all.accepted_by_position[j]).toBe(sum(answers.map(([one]) => one.accepted_by_position[j] ?? 0)))
        }
        expect(all.proposed_tokens).toBe(sum(answers.map(([{ proposed_tokens }]) => proposed_tokens)))
        const tokens = sum(answers.map(([, completion]) => completion))
        const { tokens_per_step, mean_accepted_length } = speculationUsage(all, tokens)
        const steps = sum(answers.map(([one]) => one.steps))
        expect(tokens_per_step).toBe(steps > 0 ? tokens / steps : 0)
        expect(mean_accepted_length).toBe(meanAcceptedLength(all.verified_by_position, all.accepted_by_position))
      }),
    )
  })

  it('of one answer is its own', () => {
    fc.assert(
      fc.property(counts, (one) => {
        expect(summedCounts([one])).toEqual(one)
      }),
    )
  })
})
