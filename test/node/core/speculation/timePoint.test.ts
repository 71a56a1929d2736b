import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TimeNoise, TimePoint } from '../../../../src/core/speculation/timePoint.ts'

function timeOf(samples: readonly number[]): number {
  const point = new TimePoint(1, samples[0] ?? 0, new TimeNoise())
  for (const ms of samples) point.add(1, ms)
  return point.ms
}

describe('the time of a size', () => {
  it('is that of its shortest samples as long as there are few: most of them may be strays', () => {
    const shuffled = fc.shuffledSubarray([10, 95, 110], { minLength: 1 }).filter((samples) => samples.includes(10))
    fc.assert(
      fc.property(shuffled, (samples) => {
        expect(timeOf(samples)).toBe(10)
      }),
    )
  })

  it('is the mean of samples that are no strays, whichever these are', () => {
    const samples = fc.shuffledSubarray([9, 9, 10, 10, 11, 11, 80, 200], { minLength: 8 })
    fc.assert(
      fc.property(samples, (all) => {
        expect(timeOf(all)).toBeCloseTo(10, 9)
      }),
    )
  })
})
