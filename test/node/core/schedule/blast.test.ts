/**
 * The scheduler against an oracle that follows plans and answers alone: random requests, aborts, ends and resets over prefix
 * caching on and off, numbers of drafts, policies, pools from one request's worth to plenty, and one to three steps in flight.
 * What is checked stands in `test/helpers/blast*.ts`. A failure names its seed: `WEIR_BLAST_SEED=… npx vitest run --project node
 * test/node/core/schedule/blast.test.ts` plays that run alone.
 */

import { describe, expect, it } from 'vitest'
import { BLAST_EVENTS, BlastCoverage, type BlastEvent } from '../../../helpers/blastCoverage.ts'
import { blast } from '../../../helpers/blastRun.ts'
import { blastSetup } from '../../../helpers/blastSetup.ts'

const DRAFTS = [undefined, 0, 1, 4]
const STEPS_EACH = 52_000
const GIVEN_SEED = process.env.WEIR_BLAST_SEED

/** What must have been met, summed over all runs: about half of what is. */
const LEAST: Record<BlastEvent, number> = {
  steps: 200_000,
  requests: 15_000,
  ended: 12_000,
  draftsShortOfRows: 10_000,
  shortOfBlocks: 800,
  cutByThreshold: 15_000,
  prefixHits: 1500,
  sharedBlocks: 2000,
  revivedBlocks: 2000,
  evictions: 10_000,
  resets: 150,
  preemptions: 1500,
  victimsInFlight: 700,
  immuneSpares: 150,
  overtakes: 8000,
  heldForBlocks: 30_000,
  heldForSharedPrefix: 50,
  heldForPartialPrefills: 2000,
  aborts: 900,
  abortsInFlight: 900,
  idsReusedInFlight: 200,
  staleAnswers: 2500,
  stopsInsideRun: 250,
  textStops: 800,
}

/** Preemptions of one request that would be going round in circles. The most that was seen in three million steps is 23. */
const MOST_PREEMPTIONS = 32

if (GIVEN_SEED !== undefined) {
  it(`keeps every law with WEIR_BLAST_SEED=${GIVEN_SEED}`, () => {
    const coverage = new BlastCoverage()
    blast(Number(GIVEN_SEED), coverage)
    expect(coverage.events.steps).toBeGreaterThan(0)
  })
} else {
  describe('a blast of random steps', () => {
    const all = new BlastCoverage()

    it.each(DRAFTS)('keeps every law with %s drafts', { timeout: 240_000 }, (drafts) => {
      const coverage = new BlastCoverage()
      for (let seed = 0; coverage.events.steps < STEPS_EACH; seed++) {
        if (blastSetup(seed).options.speculative?.numSpeculativeTokens === drafts) blast(seed, coverage)
      }
      expect(coverage.maxima.preemptionsOfOne).toBeLessThan(MOST_PREEMPTIONS)
      all.add(coverage)
    })

    it('meets what it is meant to meet, often', () => {
      for (const event of BLAST_EVENTS) expect(all.events[event], event).toBeGreaterThanOrEqual(LEAST[event])
      expect(all.maxima.overtakesOfOne).toBe(8)
      expect(all.maxima.victimsOfStep).toBeGreaterThan(1)
    })
  })
}
