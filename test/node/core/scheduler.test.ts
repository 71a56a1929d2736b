import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BLOCK_SIZE } from '../../../src/core/cost.ts'
import { buildStepPlan } from '../../../src/core/stepPlanBuilder.ts'
import { engineOptions, mtp, promptOf } from '../../helpers/coreFixtures.ts'
import { rowsOf, SchedulerRig, sharesOf } from '../../helpers/schedulerRig.ts'
import { workloads } from '../../helpers/workloads.ts'

/** A rig in which requests 0…count-1 decode, each with its drafts proposed. */
function decodingRig(count: number, changes: Parameters<typeof engineOptions>[0], maxTokens = 60): SchedulerRig {
  const rig = new SchedulerRig(engineOptions(changes))
  for (let id = 0; id < count; id++) rig.add(id, 1, maxTokens)
  rig.step()
  return rig
}

describe('rows', () => {
  it('gives a waiting prompt the one row that 15 decoding requests leave of B = 16', () => {
    const rig = decodingRig(15, { maxNumBatchedTokens: 16, maxNumSeqs: 16 })
    const prompt = rig.add(99, 5, 4)
    for (let step = 0; step < 5; step++) {
      const { rows } = rig.step()
      expect(rows).toMatchObject({ base: 15, draft: 0, prefill: 1 })
    }
    expect(prompt.outputLength).toBe(1)
  })

  it('lets everybody on when B is exactly a base row and all drafts of each slot', () => {
    const rig = decodingRig(4, { maxNumBatchedTokens: 16, maxNumSeqs: 4, speculative: mtp(3) })
    for (let step = 0; step < 10; step++) {
      const output = rig.step()
      expect(output.requests.map(({ n, k }) => [n, k])).toEqual(new Array(4).fill([4, 3]))
    }
  })

  it('trims drafts before base rows, evenly, and favours nobody over time', () => {
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

  it('costs nothing for idle slots', () => {
    for (const maxNumSeqs of [1, 8, 64]) {
      const rig = new SchedulerRig(engineOptions({ maxNumBatchedTokens: 64, maxNumSeqs }))
      rig.add(0, 200, 1)
      expect(rig.step().rows.prefill).toBe(64)
    }
  })

  it('runs with B = S = 1', () => {
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
  it('cuts three prompts of 800 to 400 + 400 + 224 of 1024 rows, and goes on in order', () => {
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

  it('verifies no drafts on the chunks of a prompt', () => {
    const rig = new SchedulerRig(engineOptions({ maxNumBatchedTokens: 50, speculative: mtp(3) }))
    rig.add(0, 80, 8)
    expect(sharesOf(rig.step())).toMatchObject([{ n: 50, k: 0, m: 0, samples: false }])
    expect(sharesOf(rig.step())).toMatchObject([{ n: 30, k: 0, m: 3, samples: true }])
    expect(sharesOf(rig.step())).toMatchObject([{ n: 4, k: 3, m: 3, samples: true }])
  })

  it('covers each known token once, in order, and gives the drafter the one after a chunk', () => {
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
  it('trims drafts and proposals to what may still be said', () => {
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

describe('blocks', () => {
  it('takes look-ahead blocks for the drafts really proposed, never past the last position', () => {
    const rig = new SchedulerRig(engineOptions({ speculative: mtp(4), maxModelLen: 256 }))
    rig.add(0, 14, 60)
    // Rows 0…13 and draft slots 14…16: two blocks.
    expect(rig.step().requests[0]?.newBlocks.length).toBe(2)
    const short = new SchedulerRig(engineOptions({ speculative: mtp(4), maxModelLen: 256 }))
    short.add(0, 14, 2)
    expect(short.step().requests[0]?.newBlocks.length).toBe(1)
  })

  it('gives up proposals, then drafts, before it preempts anybody', () => {
    // Two blocks: request 0 decodes from position 13 and would need a third block for its look-ahead.
    const rig = new SchedulerRig(
      engineOptions({
        speculative: mtp(4),
        maxModelLen: 32,
        kvCacheTokens: 48,
        maxNumSeqs: 3,
        maxNumBatchedTokens: 32,
      }),
    )
    rig.add(0, 10, 20)
    rig.add(1, 12, 20)
    rig.add(2, 12, 20)
    const seen: (readonly [number, number])[] = []
    for (let step = 0; step < 8; step++) {
      const output = rig.step()
      if (output.preempted.length > 0) break
      seen.push(...output.requests.filter(({ running }) => running.request.id === 0).map(({ k, m }) => [k, m] as const))
    }
    expect(seen).toContainEqual([4, 0])
    expect(seen).toContainEqual([0, 0])
  })

  it('shrinks a chunk to the slots there are before it preempts anybody', () => {
    const options = { maxModelLen: 64, kvCacheTokens: 64, longPrefillTokenThreshold: 20, speculative: undefined }
    const rig = new SchedulerRig(engineOptions(options))
    rig.add(0, 16, 20)
    rig.add(1, 48, 1)
    expect(sharesOf(rig.step())).toMatchObject([{ n: 16 }, { n: 20 }])
    // Request 0 takes the last free block; 12 slots are left in the two of request 1.
    const output = rig.step()
    expect(sharesOf(output)).toMatchObject([{ n: 1 }, { n: 12, samples: false, newBlocks: 0 }])
    expect(output.preempted).toEqual([])
    expect(rig.step().preempted.map(({ id }) => id)).toEqual([1])
  })

  it('admits what fits beside what a running prompt still needs, and nothing more', () => {
    for (const [blocks, admitted] of [
      [6, true],
      [7, false],
    ] as const) {
      const rig = new SchedulerRig(
        engineOptions({ maxNumBatchedTokens: 48, maxModelLen: 160, kvCacheTokens: 160, speculative: undefined }),
      )
      rig.add(0, 64, 1)
      rig.add(1, blocks * BLOCK_SIZE, 1)
      expect(sharesOf(rig.step())).toMatchObject([{ id: 0, n: 48, newBlocks: 3 }])
      expect(rig.step().requests.some(({ running }) => running.request.id === 1)).toBe(admitted)
    }
  })

  it('plans a step with victims as if they had never been there', () => {
    let compared = 0
    const tight = fc.record({
      S: fc.integer({ min: 2, max: 6 }),
      moreRows: fc.nat(6),
      blocks: fc.integer({ min: 3, max: 10 }),
      prompts: fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 3, maxLength: 8 }),
      right: fc.nat(4),
    })
    fc.assert(
      fc.property(tight, ({ S, moreRows, blocks, prompts, right }) => {
        const options = engineOptions({
          maxNumSeqs: S,
          maxNumBatchedTokens: S + moreRows,
          maxModelLen: 48,
          kvCacheTokens: blocks * BLOCK_SIZE,
          speculative: mtp(4),
        })
        const accepted = (k: number): number => Math.min(k, right)
        const begin = (): SchedulerRig => {
          const rig = new SchedulerRig(options)
          for (const [id, length] of prompts.entries()) rig.add(id, length, 18)
          return rig
        }
        const rig = begin()
        for (let steps = 0; rig.scheduler.hasUnfinished; steps++) {
          const output = rig.step(accepted)
          if (output.preempted.length === 0) continue
          compared++
          const twin = begin()
          for (let step = 0; step < steps; step++) twin.step(accepted)
          for (const { id } of output.preempted) twin.scheduler.remove(id)
          for (const { id } of [...twin.scheduler.waiting]) twin.scheduler.remove(id)
          expect(sharesOf(twin.step(accepted))).toEqual(sharesOf(output))
        }
      }),
      { numRuns: 150 },
    )
    expect(compared).toBeGreaterThan(50)
  })

  it('keeps the order of arrival: whoever runs came before whoever waits, preempted or not', () => {
    fc.assert(
      fc.property(workloads, ({ options, arrivals }) => {
        const rig = new SchedulerRig(options)
        arrivals.forEach(({ promptLength, maxTokens }, id) => {
          rig.add(id, promptLength, maxTokens)
        })
        while (rig.scheduler.hasUnfinished) {
          rig.step()
          const { running, waiting } = rig.scheduler
          const ids = [...running.map(({ request }) => request.id), ...[...waiting].map(({ id }) => id)]
          expect(ids).toEqual(ids.toSorted((a, b) => a - b))
        }
      }),
      { numRuns: 60 },
    )
  })

  it('is deterministic: the same calls give the same plans', () => {
    fc.assert(
      fc.property(workloads, ({ options, arrivals }) => {
        const plans = [0, 1].map(() => {
          const rig = new SchedulerRig(options)
          arrivals.forEach(({ promptLength, maxTokens }, id) => {
            rig.add(id, promptLength, maxTokens)
          })
          const steps: string[] = []
          while (rig.scheduler.hasUnfinished) steps.push(JSON.stringify(sharesOf(rig.step((k) => k >> 1))))
          return steps
        })
        expect(plans[1]).toEqual(plans[0])
      }),
      { numRuns: 40 },
    )
  })
})
