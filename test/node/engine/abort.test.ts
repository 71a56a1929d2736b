/** Aborts at any point: before a step, while one is in flight, inside a hook; and answers that come too late. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { watermarkBlocks } from '../../../src/core/cost.ts'
import { EngineRig, engineOptions, GREEDY, newRequest, promptOf } from '../../helpers/coreFixtures.ts'
import { endOf, ownedBlocks, runWorkload } from '../../helpers/engineRuns.ts'
import { generateAlone } from '../../helpers/mockModel.ts'
import { expectedOutput, workloads } from '../../helpers/workloads.ts'

describe('abort', () => {
  it('leaks nothing and disturbs nobody, whenever it comes (26) (40) [test_memory_leak]', async () => {
    const aborted = { inFlight: 0, between: 0 }
    const abort = fc.record({ step: fc.nat(40), id: fc.nat(9), inFlight: fc.boolean() })
    await fc.assert(
      fc.asyncProperty(workloads, fc.array(abort, { minLength: 4, maxLength: 12 }), async (workload, aborts) => {
        const now = { step: 0 }
        let engine: EngineRig['engine'] | undefined
        const fire = (inFlight: boolean): void => {
          for (const a of aborts) {
            if (a.step === now.step && a.inFlight === inFlight && engine?.abort(a.id))
              aborted[inFlight ? 'inFlight' : 'between']++
          }
        }
        const rig = await runWorkload(workload, 5000, { beforeSettle: () => fire(true) }, (running, step) => {
          engine = running.engine
          now.step = step
          fire(false)
        })
        for (const id of workload.arrivals.keys()) {
          const end = endOf(rig, id)
          const whole = expectedOutput(workload, id)
          if (end.reason === 'abort') expect(end.tokenIds).toEqual(whole.slice(0, end.tokenIds.length))
          else expect(end.tokenIds).toEqual(whole)
        }
        expect(ownedBlocks(rig)).toBe(0)
        // Every table row is free again: S new requests run at once, where rows and blocks beside the watermark suffice.
        const { maxNumSeqs, maxNumBatchedTokens } = workload.options
        const before = rig.records.length
        const pool = rig.engine.stats().blockOwners.length
        const room = Math.max(1, pool - watermarkBlocks(workload.options))
        for (let i = 0; i < maxNumSeqs; i++) rig.engine.add(newRequest(100 + i, 1, 1))
        await rig.engine.step()
        expect(rig.records[before]?.running).toBe(Math.min(maxNumSeqs, maxNumBatchedTokens, room))
      }),
      { numRuns: 100 },
    )
    expect(aborted.inFlight).toBeGreaterThan(10)
    expect(aborted.between).toBeGreaterThan(10)
  })

  it('tells the request at once, and the engine whether there was one', async () => {
    const rig = new EngineRig(engineOptions())
    expect(rig.engine.abort(7)).toBe(false)
    rig.engine.add(newRequest(7, 4, 10))
    expect(rig.engine.abort(7)).toBe(true)
    expect(rig.ends.get(7)).toMatchObject({ reason: 'abort', tokenIds: [], error: undefined })
    expect(rig.engine.hasWork()).toBe(false)
    expect(await rig.engine.step()).toBeUndefined()
  })

  it('ignores the answer for a request whose id was used again in flight (26)', async () => {
    let reused = false
    const rig: EngineRig = new EngineRig(engineOptions(), {
      beforeSettle: (plan) => {
        if (plan.step !== 3) return
        expect(rig.engine.abort(0)).toBe(true)
        rig.engine.add(newRequest(0, 20, 12, { promptTokenIds: promptOf(20, 77) }))
        reused = true
      },
    })
    rig.engine.add(newRequest(0, 5, 30))
    rig.engine.add(newRequest(1, 6, 30))
    await rig.drain()
    expect(reused).toBe(true)
    expect(endOf(rig, 0).tokenIds).toEqual(generateAlone(promptOf(20, 77), 12, GREEDY))
    expect(endOf(rig, 1).tokenIds).toEqual(generateAlone(promptOf(6, 1), 30, GREEDY))
  })

  it('still counts the rows that ran for nobody (26)', async () => {
    const rig: EngineRig = new EngineRig(engineOptions(), {
      beforeSettle: (plan) => {
        if (plan.step === 2) rig.engine.abort(0)
      },
    })
    rig.engine.add(newRequest(0, 5, 30))
    await rig.drain()
    expect(rig.records[1]).toMatchObject({ baseRows: 1, draftRows: 3, committedTokens: 0 })
    expect((rig.records[1]?.acceptedDrafts ?? 0) + (rig.records[1]?.rejectedDrafts ?? 0)).toBe(3)
    expect(endOf(rig, 0)).toMatchObject({ reason: 'abort', usage: { completion_tokens: 1 } })
  })

  it('may come from a hook, for oneself and for another', async () => {
    const rig: EngineRig = new EngineRig(
      engineOptions(),
      {},
      {
        onTokens: (id) => {
          if (id === 1 && (rig.streamed.get(1)?.length ?? 0) > 4) {
            rig.engine.abort(1)
            rig.engine.abort(2)
          }
          return undefined
        },
      },
    )
    for (const id of [0, 1, 2]) rig.engine.add(newRequest(id, 5, 20))
    await rig.drain()
    expect(endOf(rig, 0).tokenIds).toEqual(generateAlone(promptOf(5, 0), 20, GREEDY))
    for (const id of [1, 2]) {
      const { reason, tokenIds, usage } = endOf(rig, id)
      expect(reason).toBe('abort')
      expect(tokenIds).toEqual(rig.streamed.get(id))
      expect(usage.completion_tokens).toBe(tokenIds.length)
    }
    expect(ownedBlocks(rig)).toBe(0)
  })
})
