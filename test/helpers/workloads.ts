/** Random engines and workloads for property tests, sized so that blocks run short and prompts are cut. */

import fc from 'fast-check'
import { BLOCK_SIZE, blocksNeeded } from '../../src/core/cost.ts'
import type { SamplingParams } from '../../src/core/samplingParams.ts'
import type { EngineOptions } from '../../src/protocol/options.ts'
import { engineOptions, GREEDY, mtp } from './coreFixtures.ts'

export interface Arrival {
  /** steps before it arrives */
  readonly step: number
  readonly promptLength: number
  readonly maxTokens: number
  readonly sampling: SamplingParams
}

export interface Workload {
  readonly options: EngineOptions
  /** drafts that are right, in eighths */
  readonly rightInEight: number
  /** the index is the request's id */
  readonly arrivals: readonly Arrival[]
}

const sampling: fc.Arbitrary<SamplingParams> = fc.oneof(
  fc.constant(GREEDY),
  fc.nat(1000).map((seed) => ({ ...GREEDY, temperature: 1, seed })),
)

export function arrivals(maxModelLen: number): fc.Arbitrary<Arrival[]> {
  const arrival = fc.record({
    step: fc.nat(25),
    promptLength: fc.integer({ min: 1, max: maxModelLen - 1 }),
    maxTokens: fc.integer({ min: 1, max: 40 }),
    sampling,
  })
  return fc.array(arrival, { minLength: 1, maxLength: 10 })
}

/** Engine options that can serve requests of `maxModelLen`; the pool is between one such request and plenty. */
export function engines(maxModelLen: number): fc.Arbitrary<EngineOptions> {
  return fc
    .record({
      maxNumSeqs: fc.integer({ min: 1, max: 8 }),
      moreRows: fc.nat(60),
      moreBlocks: fc.nat(12),
      speculative: fc.option(fc.nat(4).map(mtp), { nil: undefined }),
      longPrefillTokenThreshold: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 20 })),
    })
    .map(({ maxNumSeqs, moreRows, moreBlocks, speculative, longPrefillTokenThreshold }) =>
      engineOptions({
        maxNumSeqs,
        maxNumBatchedTokens: maxNumSeqs + moreRows,
        maxModelLen,
        kvCacheTokens: (blocksNeeded(maxModelLen) + moreBlocks) * BLOCK_SIZE,
        speculative,
        longPrefillTokenThreshold,
      }),
    )
}

export const workloads: fc.Arbitrary<Workload> = fc
  .integer({ min: 2, max: 100 })
  .chain((maxModelLen) =>
    fc.record({ options: engines(maxModelLen), rightInEight: fc.nat(8), arrivals: arrivals(maxModelLen) }),
  )
