/** Laws of the row budget in every step, whatever is asked of the scheduler. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  drafterRows,
  maxSampledRows,
  numSpeculativeTokens,
  sampledRows,
  targetRows,
} from '../../../../src/core/cost.ts'
import { buildStepPlan } from '../../../../src/core/stepPlanBuilder.ts'
import { cdiv } from '../../../../src/util/math.ts'
import { engineOptions, mtp } from '../../../helpers/coreFixtures.ts'
import { crowdedWorkloads, play } from '../../../helpers/crowdedWorkloads.ts'
import { decodingRig, rowsOf, SchedulerRig } from '../../../helpers/schedulerRig.ts'

describe('every step', () => {
  it('runs at most B rows, is charged just these, and its plan says the same (1) (3) (4)', () => {
    let full = 0
    fc.assert(
      fc.property(crowdedWorkloads, (workload) => {
        const { maxNumBatchedTokens } = workload.options
        play(workload, (_rig, output) => {
          const rows = rowsOf(output)
          expect(rows).toBeLessThanOrEqual(maxNumBatchedTokens)
          expect(output.rows.charged).toBe(rows)
          const plan = buildStepPlan(output)
          expect(plan.rows).toBe(rows)
          expect(targetRows(plan.requests)).toBe(rows)
          expect(plan.sampledRows).toBe(sampledRows(plan.requests))
          for (const { n, k, m } of plan.requests) expect(Math.min(n - 1, k, m)).toBeGreaterThanOrEqual(0)
          if (rows === maxNumBatchedTokens) full++
        })
      }),
      { numRuns: 100 },
    )
    expect(full).toBeGreaterThan(100)
  })

  it('has at most one drafter row per request, so at most S, and at most R sampled rows (2)', () => {
    let all = 0
    fc.assert(
      fc.property(crowdedWorkloads, (workload) => {
        const { options } = workload
        play(workload, (_rig, { requests, rows }) => {
          const drafter = drafterRows(requests)
          expect(drafter).toBeLessThanOrEqual(Math.min(options.maxNumSeqs, options.maxNumBatchedTokens))
          expect(drafter).toBeLessThanOrEqual(requests.filter(({ samples }) => samples).length)
          expect(rows.sampled).toBeLessThanOrEqual(maxSampledRows(options))
          if (drafter === options.maxNumSeqs) all++
        })
      }),
      { numRuns: 100 },
    )
    expect(all).toBeGreaterThan(20)
  })

  it('charges each request the drafts that it runs, be they fewer than asked for or none (6)', () => {
    const mixed = { steps: 0 }
    fc.assert(
      fc.property(crowdedWorkloads, (workload) => {
        const most = numSpeculativeTokens(workload.options)
        play(workload, (_rig, { requests, rows }) => {
          const decoding = requests.filter(({ prefill }) => !prefill)
          for (const { n, k } of decoding) expect([n, k]).toEqual([1 + k, Math.min(k, most)])
          expect(rows.base).toBe(decoding.length)
          expect(rows.draft).toBe(decoding.reduce((sum, { k }) => sum + k, 0))
          if (new Set(decoding.map(({ k }) => k)).size > 1) mixed.steps++
        })
      }),
      { numRuns: 100 },
    )
    expect(mixed.steps).toBeGreaterThan(50)
  })

  it('gives everybody who decodes a base row before anybody a draft or a prompt row (8)', () => {
    let short = 0
    fc.assert(
      fc.property(crowdedWorkloads, (workload) => {
        let ready: number[] = []
        play(
          workload,
          (_rig, { requests, preempted, rows }) => {
            const gone = new Set(preempted.map(({ request }) => request.id))
            const base = requests.filter(({ prefill }) => !prefill).map(({ running }) => running.request.id)
            expect(base).toEqual(ready.filter((id) => !gone.has(id)))
            if (rows.base > 0 && requests.some(({ shortage }) => shortage === 'rows')) short++
          },
          ({ scheduler }) => {
            ready = scheduler.running.filter(({ decodeReady }) => decodeReady).map(({ request }) => request.id)
          },
        )
      }),
      { numRuns: 100 },
    )
    expect(short).toBeGreaterThan(50)
  })

  it('never holds more than S requests, each in a table row of its own (46)', () => {
    let full = 0
    fc.assert(
      fc.property(crowdedWorkloads, (workload) => {
        const { maxNumSeqs } = workload.options
        play(workload, ({ scheduler }, { running }) => {
          expect(scheduler.running.length).toBe(running)
          expect(running).toBeLessThanOrEqual(maxNumSeqs)
          const rows = scheduler.running.map(({ tableRow }) => tableRow)
          expect(new Set(rows).size).toBe(running)
          for (const row of rows) expect(row >= 0 && row < maxNumSeqs).toBe(true)
          if (running === maxNumSeqs) full++
        })
      }),
      { numRuns: 60 },
    )
    expect(full).toBeGreaterThan(50)
  })
})

describe('drafts', () => {
  const crowd = fc.record({
    decoders: fc.integer({ min: 1, max: 8 }),
    more: fc.integer({ min: 1, max: 40 }),
    drafts: fc.integer({ min: 1, max: 4 }),
    prompt: fc.integer({ min: 1, max: 200 }),
  })

  it('leave a quarter of B, or what prompts want, and take all the rest (8)', () => {
    let contested = 0
    fc.assert(
      fc.property(crowd, ({ decoders, more, drafts, prompt }) => {
        const B = decoders + more
        const options = { maxNumBatchedTokens: B, maxNumSeqs: decoders + 1, speculative: mtp(drafts) }
        const rig = decodingRig(decoders, options, 200)
        rig.add(99, prompt, 1)
        const { rows } = rig.step()
        const aside = Math.min(prompt, cdiv(B, 4), more)
        expect(rows.draft).toBe(Math.min(decoders * drafts, more - aside))
        expect(rows.prefill).toBe(Math.min(prompt, more - rows.draft))
        if (rows.draft < decoders * drafts) contested++
      }),
    )
    expect(contested).toBeGreaterThan(5)
  })

  it('are shared out fairly when rows are short: over one rotation nobody gets more than another (8)', () => {
    fc.assert(
      fc.property(crowd, ({ decoders, more, drafts }) => {
        const B = decoders + more
        const rig = decodingRig(
          decoders,
          { maxNumBatchedTokens: B, maxNumSeqs: decoders + 1, speculative: mtp(drafts) },
          240,
        )
        const prompt = rig.add(99, 1, 240)
        const got = new Map<number, number>()
        rig.step()
        for (let step = 0; step <= decoders; step++) {
          for (const { running, k } of rig.step().requests) {
            got.set(running.request.id, (got.get(running.request.id) ?? 0) + k)
          }
        }
        expect(prompt.outputLength).toBeGreaterThan(0)
        expect(Math.max(...got.values())).toBe(Math.min(...got.values()))
      }),
      { numRuns: 60 },
    )
  })
})

describe('the first decode after a prompt', () => {
  it('is charged its base row and the drafts that the prompt’s last step proposed (13)', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 6, max: 40 }), fc.nat(4), (prompt, B, drafts) => {
        const rig = new SchedulerRig(engineOptions({ maxNumBatchedTokens: B, maxNumSeqs: 2, speculative: mtp(drafts) }))
        rig.add(0, prompt, 20)
        for (let rows = 0; rows < prompt; rows += B) {
          expect(rig.step().rows).toMatchObject({ base: 0, draft: 0, prefill: Math.min(B, prompt - rows) })
        }
        expect(rig.step().rows).toMatchObject({ base: 1, draft: drafts, prefill: 0, charged: 1 + drafts })
      }),
    )
  })

  it('is charged so beside other prompts, and in any budget', () => {
    const rig = new SchedulerRig(engineOptions({ maxNumBatchedTokens: 8, maxNumSeqs: 2, speculative: mtp(4) }))
    rig.add(0, 3, 20)
    rig.add(1, 30, 20)
    expect(rig.step().rows).toMatchObject({ base: 0, draft: 0, prefill: 8 })
    // One base row, four drafts, and what is left for the prompt.
    expect(rig.step().rows).toMatchObject({ base: 1, draft: 4, prefill: 3, charged: 8 })
  })
})
