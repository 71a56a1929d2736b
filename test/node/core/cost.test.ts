import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  BLOCK_SIZE,
  blocksNeeded,
  drafterRows,
  maxSampledRows,
  maxTotalTokens,
  numSpeculativeTokens,
  sampledRows,
  servable,
  slotsNeeded,
  targetRows,
  totalBlocks,
  watermarkBlocks,
} from '../../../src/core/cost.ts'
import { engineOptions, mtp } from '../../helpers/coreFixtures.ts'

describe('cost', () => {
  it('counts target, sampled and drafter rows of a mixed step', () => {
    const step = [
      { n: 4, k: 3, m: 3, samples: true },
      { n: 1, k: 0, m: 0, samples: true },
      { n: 50, k: 0, m: 0, samples: false },
      { n: 7, k: 0, m: 2, samples: true },
    ]
    expect(targetRows(step)).toBe(62)
    expect(sampledRows(step)).toBe(4 + 1 + 1)
    expect(drafterRows(step)).toBe(2)
  })

  it('bounds sampled rows by B and by a base row and all drafts of each slot', () => {
    expect(maxSampledRows(engineOptions({ maxNumBatchedTokens: 64, maxNumSeqs: 16, speculative: mtp(4) }))).toBe(64)
    expect(maxSampledRows(engineOptions({ maxNumBatchedTokens: 256, maxNumSeqs: 16, speculative: mtp(4) }))).toBe(80)
    expect(maxSampledRows(engineOptions({ maxNumBatchedTokens: 256, maxNumSeqs: 16, speculative: undefined }))).toBe(16)
    expect(numSpeculativeTokens({ speculative: undefined })).toBe(0)
  })

  it('needs just enough blocks', () => {
    fc.assert(
      fc.property(fc.nat(100_000), (tokens) => {
        const blocks = blocksNeeded(tokens)
        expect(blocks * BLOCK_SIZE).toBeGreaterThanOrEqual(tokens)
        expect((blocks - 1) * BLOCK_SIZE).toBeLessThan(tokens)
      }),
    )
  })

  it('reserves a slot for each draft pass but the first, and none past the last position (15)', () => {
    expect(slotsNeeded(10, 4, 0, 100)).toBe(14)
    expect(slotsNeeded(10, 4, 1, 100)).toBe(14)
    expect(slotsNeeded(10, 4, 4, 100)).toBe(17)
    expect(slotsNeeded(10, 4, 4, 15)).toBe(15)
  })

  it('serves exactly the requests whose last token fits the pool (41) (42)', () => {
    const options = engineOptions({ kvCacheTokens: 160, maxModelLen: 1000 })
    expect(totalBlocks(options)).toBe(10)
    expect(servable(160, options)).toBe(true)
    expect(servable(161, options)).toBe(false)
    expect(maxTotalTokens(990, 50, options)).toBe(1000)
  })

  it('keeps one block free at least where a watermark is asked for, and none where it is not', () => {
    const blocks = (watermark: number) => watermarkBlocks({ kvCacheTokens: 160, watermark })
    expect([0, 0.01, 0.1, 0.11].map(blocks)).toEqual([0, 1, 1, 2])
  })
})
