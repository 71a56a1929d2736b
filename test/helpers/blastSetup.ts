/**
 * What a seed makes of a blast: engine options from roomy to as tight as they may be, and how often things happen. Sixteen seeds
 * in a row go through prefix caching on and off, each number of drafts and both policies.
 */

import { BLOCK_SIZE, blocksNeeded } from '../../src/core/cost.ts'
import type { EngineOptions } from '../../src/protocol/options.ts'
import { BlastRandom } from './blastRandom.ts'
import { engineOptions, mtp } from './coreFixtures.ts'

const DRAFTS = [undefined, 0, 1, 4] as const

export interface BlastSetup {
  readonly seed: number
  readonly options: EngineOptions
  /** steps in flight at most */
  readonly depth: number
  /** steps in which requests may arrive; after them the run goes on until nothing is left */
  readonly steps: number
  /** unfinished requests above which none arrives */
  readonly crowd: number
  /** tokens */
  readonly longestPrompt: number
  /** in a hundred steps */
  readonly arrivals: number
  /** in a thousand steps */
  readonly aborts: number
  /** of the prefix cache, in a thousand steps */
  readonly resets: number
  /** drafts that are right, in eighths */
  readonly rightInEight: number
}

export function blastSetup(seed: number): BlastSetup {
  const random = new BlastRandom(seed)
  const drafts = DRAFTS[(seed >> 1) % DRAFTS.length]
  const maxModelLen = random.pick([20, 49, 64, 112, 160, 160])
  const maxNumSeqs = random.pick([1, 2, 3, 4, 6, 8, 8, 12])
  const moreRows = random.pick([0, random.int(8), random.int(24), random.int(100)])
  const moreBlocks = random.pick([0, random.int(4), random.int(10), random.int(10), random.int(24), random.int(60)])
  const options = engineOptions({
    maxNumSeqs,
    maxNumBatchedTokens: maxNumSeqs + moreRows,
    maxModelLen,
    kvCacheTokens: (blocksNeeded(maxModelLen) + moreBlocks) * BLOCK_SIZE,
    speculative: drafts === undefined ? undefined : mtp(drafts),
    enablePrefixCaching: seed % 2 === 0,
    schedulingPolicy: (seed >> 3) % 2 === 0 ? 'fcfs' : 'priority',
    priorityAgingTokens: random.pick([1, 30, 300, 5000]),
    longPrefillTokenThreshold: random.pick([0, 0, random.between(1, 4), random.between(5, 30)]),
    maxNumPartialPrefills: random.pick([0, 0, 1, 2]),
    watermark: random.pick([0, 0, 0, 0.05, 0.3]),
  })
  return {
    seed,
    options,
    depth: random.pick([1, 1, 2, 3]),
    steps: random.pick([200, 300, 500, 1500]),
    crowd: maxNumSeqs * random.between(1, 2) + random.between(1, 8),
    arrivals: random.pick([3, 20, 60, 60]),
    longestPrompt: Math.ceil(((maxModelLen - 1) * random.pick([1, 2, 4, 4])) / 4),
    aborts: random.pick([0, 0, 5, 40]),
    resets: random.pick([0, 0, 5]),
    rightInEight: random.pick([0, 4, 6, 8]),
  }
}
