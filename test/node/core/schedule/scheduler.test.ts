import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { buildStepPlan } from '../../../../src/core/stepPlanBuilder.ts'
import { engineOptions, mtp, promptOf } from '../../../helpers/coreFixtures.ts'
import { decodingRig, rowsOf, SchedulerRig, sharesOf } from '../../../helpers/schedulerRig.ts'

describe('rows', () => {
  it('gives a waiting prompt the one row that 15 decoding requests leave of B = 16 (8)', () => {
    const rig = decodingRig(15, { maxNumBatchedTokens: 16, maxNumSeqs: 16 })
    const prompt = rig.add(99, 5, 4)
    for (let step = 0; step < 5; step++) {
      const { rows } = rig.step()
      expect(rows).toMatchObject({ base: 15, draft: 0, prefill: 1 })
    }
    expect(prompt.outputLength).toBe(1)
  })

  it('lets everybody on when B is exactly a base row and all drafts of each slot (7)', () => {
    const rig = decodingRig(4, { maxNumBatchedTokens: 16, maxNumSeqs: 4, speculative: mtp(3) })
    for (let step = 0; step < 10; step++) {
      const output = rig.step()
      expect(output.requests.map(({ n, k }) => [n, k])).toEqual(new Array(4).fill([4, 3]))
    }
  })

  it('trims drafts before base rows, evenly, and favours nobody over time (6) (8)', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), fc.nat(30), fc.nat(4), (S, more, drafts) => {
        const B = S + more
        const rig = decodingRig(
          S,
          { maxNumBatchedTokens: B, maxNumSeqs: S, speculative: mtp(drafts), maxModelLen: 256 },
          200,
        )
        const total = new Array<number>(S).fill(0)
        for (let step = 0; step < S; step++) {
          const { requests } = rig.step()
          const ks = requests.map(({ k }) => k)
          expect(requests.length).toBe(S)
          expect(ks.reduce((a, b) => a + b, 0)).toBe(Math.min(B - S, S * drafts))
          expect(Math.max(...ks) - Math.min(...ks)).toBeLessThanOrEqual(1)
          for (const { running, k } of requests) total[running.request.id] = (total[running.request.id] ?? 0) + k
        }
        // One full rotation: as many steps as requests.
        expect(Math.max(...total)).toBe(Math.min(...total))
      }),
      { numRuns: 60 },
    )
  })

  it('leaves a quarter of B to prompts, and no more than they want', () => {
    const rig = decodingRig(6, { maxNumBatchedTokens: 24, maxNumSeqs: 8, speculative: mtp(4) })
    rig.add(8, 100, 1)
    expect(rig.step().rows).toMatchObject({ base: 6, draft: 12, prefill: 6 })
    const few = decodingRig(6, { maxNumBatchedTokens: 24, maxNumSeqs: 8, speculative: mtp(4) })
    few.add(8, 2, 1)
    expect(few.step().rows).toMatchObject({ base: 6, draft: 16, prefill: 2 })
  })

  it('sets nothing aside for a prompt that cannot come in', () => {
    // All slots taken, then: no blocks for the whole prompt.
    const slots = decodingRig(6, { maxNumBatchedTokens: 24, maxNumSeqs: 6, speculative: mtp(4) })
    slots.add(8, 100, 1)
    expect(slots.step().rows).toMatchObject({ base: 6, draft: 18, prefill: 0 })
    const blocks = decodingRig(6, { maxNumBatchedTokens: 24, maxNumSeqs: 8, kvCacheTokens: 256, speculative: mtp(4) })
    blocks.add(8, 200, 1)
    expect(blocks.step().rows).toMatchObject({ base: 6, draft: 18, prefill: 0 })
  })

  it('costs nothing for idle slots (10)', () => {
    for (const maxNumSeqs of [1, 8, 64]) {
      const rig = new SchedulerRig(engineOptions({ maxNumBatchedTokens: 64, maxNumSeqs }))
      rig.add(0, 200, 1)
      expect(rig.step().rows.prefill).toBe(64)
    }
  })

  it('runs with B = S = 1 (9)', () => {
    const rig = new SchedulerRig(engineOptions({ maxNumBatchedTokens: 1, maxNumSeqs: 1 }))
    const requests = [rig.add(0, 3, 3), rig.add(1, 2, 2)]
    let steps = 0
    for (; rig.scheduler.hasUnfinished; steps++) expect(rowsOf(rig.step())).toBe(1)
    expect(requests.map(({ outputLength }) => outputLength)).toEqual([3, 2])
    // Each prompt token and each output token but the last is one row.
    expect(steps).toBe(3 + 2 + (2 + 1))
  })
})

describe('chunks', () => {
  it('cuts three prompts of 800 to 400 + 400 + 224 of 1024 rows, and goes on in order (17) [test_schedule_concurrent_partial_requests]', () => {
    const options = { maxNumBatchedTokens: 1024, maxModelLen: 1024, longPrefillTokenThreshold: 400 }
    const rig = new SchedulerRig(engineOptions(options))
    for (let id = 0; id < 3; id++) rig.add(id, 800, 8)
    expect(rig.step().requests.map(({ n, samples }) => [n, samples])).toEqual([
      [400, false],
      [400, false],
      [224, false],
    ])
    expect(rig.step().requests.map(({ n, samples }) => [n, samples])).toEqual([
      [400, true],
      [400, true],
      [224, false],
    ])
  })

  it('verifies no drafts on the chunks of a prompt (12) (13) [test_no_spec_tokens_scheduled_for_prefill_chunks]', () => {
    const rig = new SchedulerRig(engineOptions({ maxNumBatchedTokens: 50, speculative: mtp(3) }))
    rig.add(0, 80, 8)
    expect(sharesOf(rig.step())).toMatchObject([{ n: 50, k: 0, m: 0, samples: false }])
    expect(sharesOf(rig.step())).toMatchObject([{ n: 30, k: 0, m: 3, samples: true }])
    expect(sharesOf(rig.step())).toMatchObject([{ n: 4, k: 3, m: 3, samples: true }])
  })

  it('covers each known token once, in order, and gives the drafter the one after a chunk (16) (19) (21)', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 70 }), (length, B) => {
        const rig = new SchedulerRig(engineOptions({ maxNumBatchedTokens: B, maxNumSeqs: 1 }))
        rig.add(0, length, 1)
        const prompt = promptOf(length, 0)
        const seen: number[] = []
        while (seen.length < length) {
          const [chunk] = buildStepPlan(rig.step()).requests
          expect(chunk?.firstPosition).toBe(seen.length)
          seen.push(...(chunk?.ids ?? []))
          expect(chunk?.samples).toBe(seen.length === length)
          expect(chunk?.nextToken).toBe(prompt[seen.length] ?? -1)
        }
        expect(seen).toEqual(prompt)
      }),
    )
  })
})

describe('length', () => {
  it('trims drafts and proposals to what may still be said (15)', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 12 }), fc.nat(4), fc.nat(4), (maxTokens, drafts, right) => {
        const rig = new SchedulerRig(engineOptions({ speculative: mtp(drafts) }))
        const request = rig.add(0, 4, maxTokens)
        while (rig.scheduler.hasUnfinished) {
          const left = request.maxTotal - request.tokens.length
          const { requests } = rig.step((k) => Math.min(k, right))
          const [share] = requests
          expect(share?.k).toBeLessThanOrEqual(left - 1)
          expect(share?.m).toBe(Math.min(drafts, Math.max(0, left - 2)))
        }
        expect(request.outputLength).toBe(maxTokens)
      }),
    )
  })
})
