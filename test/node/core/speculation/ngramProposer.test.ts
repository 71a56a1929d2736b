import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Request } from '../../../../src/core/request.ts'
import { SchedulingState } from '../../../../src/core/schedule/schedulingState.ts'
import { NgramProposer } from '../../../../src/core/speculation/ngramProposer.ts'
import { GREEDY } from '../../../helpers/coreFixtures.ts'

function requestOf(tokens: readonly number[], id = 0): Request {
  const spec = { id, promptTokenIds: tokens, maxTotal: 10_000, sampling: GREEDY, priority: 0, cacheSalt: undefined }
  return new Request(spec, new SchedulingState(0, 1, 0, 1))
}

/** The rule, in its own words: the longest n-gram at the end, its latest earlier place, what followed there. */
function proposedSlowly(tokens: readonly number[], min: number, max: number, limit: number): number[] {
  for (let n = max; n >= min; n--) {
    if (n >= tokens.length) continue
    const suffix = tokens.slice(-n).join()
    for (let end = tokens.length - 1; end >= n; end--) {
      if (tokens.slice(end - n, end).join() === suffix) return tokens.slice(end, end + limit)
    }
  }
  return []
}

describe('n-gram proposer', () => {
  it('proposes what followed the latest earlier place of the longest n-gram, as the text grows', () => {
    const text = fc.array(fc.nat(3), { minLength: 1, maxLength: 60 })
    const lengths = fc.tuple(fc.integer({ min: 1, max: 4 }), fc.nat(4))
    fc.assert(
      fc.property(text, text, lengths, fc.integer({ min: 1, max: 4 }), (prompt, output, [min, more], limit) => {
        const proposer = new NgramProposer({ promptLookupMin: min, promptLookupMax: min + more })
        const request = requestOf(prompt)
        expect(proposer.propose(request, limit)).toEqual(proposedSlowly(prompt, min, min + more, limit))
        for (let taken = 0; taken < output.length; taken += 1 + (taken % 3)) {
          request.tokens.push(...output.slice(taken, taken + 1 + (taken % 3)))
          expect(proposer.propose(request, limit)).toEqual(proposedSlowly(request.tokens, min, min + more, limit))
        }
      }),
      { numRuns: 300 },
    )
  })

  it('prefers the longer match, then the later place', () => {
    const proposer = new NgramProposer({ promptLookupMin: 1, promptLookupMax: 3 })
    expect(proposer.propose(requestOf([1, 2, 3, 7, 9, 3, 8, 1, 2, 3]), 2)).toEqual([7, 9])
    expect(proposer.propose(requestOf([5, 6, 5, 7, 5], 1), 4)).toEqual([7, 5])
  })

  it('proposes nothing where nothing repeats, and no more than is known', () => {
    const proposer = new NgramProposer({ promptLookupMin: 2, promptLookupMax: 4 })
    expect(proposer.propose(requestOf([1, 2, 3, 4, 5]), 4)).toEqual([])
    expect(proposer.propose(requestOf([4, 4, 4], 1), 4)).toEqual([4])
  })

  it('keeps texts apart, and forgets one that ended', () => {
    const proposer = new NgramProposer({ promptLookupMin: 1, promptLookupMax: 2 })
    expect(proposer.propose(requestOf([1, 2, 1], 0), 1)).toEqual([2])
    expect(proposer.propose(requestOf([1, 3, 1], 1), 1)).toEqual([3])
    proposer.forget(0)
    // Another request of the same number, with a shorter text.
    expect(proposer.propose(requestOf([9], 0), 1)).toEqual([])
  })
})
