/** What a traced engine records, and when. */

import { describe, expect, it } from 'vitest'
import { replayTrace } from '../../../src/engine/trace/replay.ts'
import { WeirError } from '../../../src/protocol/errors.ts'
import type { EngineOptions } from '../../../src/protocol/options.ts'
import { EngineRig, engineOptions, GREEDY, mtp, newRequest } from '../../helpers/coreFixtures.ts'

const TRACED = { logits: 'off', steps: false, trace: true } as const

function traced(changes: Partial<EngineOptions> = {}): EngineOptions {
  return engineOptions({ debug: TRACED, ...changes })
}

/** Lines between header and footer. */
function body(rig: EngineRig): string[] {
  return rig.engine.trace().split('\n').slice(1, -2)
}

function kinds(rig: EngineRig): unknown[] {
  return body(rig).map((line) => JSON.parse(line)[0])
}

describe('a traced engine', () => {
  it('records every call of its scheduler in order, one line each', async () => {
    const rig = new EngineRig(traced({ speculative: mtp(1), maxNumBatchedTokens: 16 }))
    const sampling = { ...GREEDY, temperature: 0.5, topK: 3, topP: 0.9, seed: 7, sampleIndex: 2 }
    rig.engine.add({ ...newRequest(4, 18, 2, { sampling, cacheSalt: 'mine' }), promptTokenIds: new Array(18).fill(5) })
    rig.engine.resetPrefixCache()
    await rig.drain()
    const [token, last] = rig.ends.get(4)?.tokenIds ?? []
    const digest = expect.stringMatching(/^[0-9a-f]{16}$/)
    expect(body(rig).map((line) => JSON.parse(line))).toEqual([
      [
        'add',
        4,
        20,
        0,
        'mine',
        null,
        { temperature: 0.5, topK: 3, topP: 0.9, seed: 7, sampleIndex: 2 },
        new Array(18).fill(5),
      ],
      ['reset'],
      [
        'plan',
        1,
        digest,
        [0, 0, 16, 0, 16],
        [1, 'fixed'],
        [1, 0, 1, 0, 0],
        [{ id: 4, n: 16, at: 0, cached: 0, shortage: 'rows' }],
        [],
        null,
      ],
      ['rows', []],
      ['step', 0, 0, [1, 0, 0, 1]],
      [
        'plan',
        2,
        digest,
        [0, 0, 2, 1, 2],
        [1, 'fixed'],
        [1, 0, 2, 0, 0],
        [{ id: 4, n: 2, at: 16, samples: true, m: 0 }],
        [],
        null,
      ],
      ['rows', [token]],
      ['step', 0, 1, [1, 0, 0, 1]],
      ['plan', 3, digest, [1, 0, 0, 1, 1], [1, 'fixed'], [1, 0, 2, 0, 0], [[4, 0, 0, 18]], [], null],
      ['rows', [last]],
      ['end', 4, 'length'],
      ['step', 0, 1, [1, 0, 0, 1]],
    ])
    const [header, footer] = [rig.engine.trace().split('\n').at(0) ?? '', rig.engine.trace().split('\n').at(-2) ?? '']
    expect(JSON.parse(header)).toMatchObject({ weirTrace: 3, vocabSize: 997, options: { maxNumBatchedTokens: 16 } })
    expect(JSON.parse(footer)).toEqual({ lines: 13 })
  })

  it('says the goodput of each number of drafts in a few digits, and nothing where it was not estimated', async () => {
    const speculative = { method: 'mtp', numSpeculativeTokens: 2, adaptive: true } as const
    const ms = ({ rows }: { readonly rows: number }) => ({ encode: 0.125, wait: 7 + rows / 3, gpu: 6, draft: 1.5 })
    const rig = new EngineRig(traced({ speculative }), { ms, rightInEight: 4 })
    rig.engine.add(newRequest(0, 6, 200))
    await rig.drain()
    const lines = body(rig).map((line) => JSON.parse(line))
    const drafts = lines.flatMap(([kind, , , , decision]) => (kind === 'plan' ? [decision] : []))
    expect(drafts.map(([k, reason]) => ({ k, reason }))).toEqual(rig.records.map((record) => record.drafts))
    expect(drafts[0]).toEqual([0, 'hold'])
    const weighed = drafts.filter((decision) => decision.length > 2)
    expect(weighed.length).toBeGreaterThan(50)
    for (const [, , goodput] of weighed) {
      expect(goodput).toHaveLength(3)
      for (const value of goodput) expect(value).toBe(Number(value.toPrecision(4)))
    }
    expect(weighed.every(([, reason]) => reason !== 'fixed' && reason !== 'warm-up')).toBe(true)
    expect(lines.find(([kind]) => kind === 'step')).toEqual(['step', 0, 1, [1, 0.125, 9, 1, 6, 1.5]])
    expect(replayTrace(rig.engine.trace()).speculation).toEqual(rig.engine.stats().speculation)
  })

  it('says who was preempted and what holds a request', async () => {
    const rig = new EngineRig(traced({ maxModelLen: 64, kvCacheTokens: 64, maxNumSeqs: 2 }))
    for (const id of [0, 1, 2]) rig.engine.add(newRequest(id, 15, 40))
    await rig.drain()
    const plans = body(rig).flatMap((line) => (line.startsWith('["plan"') ? [JSON.parse(line)] : []))
    expect(plans[0].at(-1)).toEqual([2, 'slots'])
    const victims: unknown[] = plans.flatMap((plan) => plan.at(-2))
    expect(victims.length).toBe(rig.records.reduce((sum, { preempted }) => sum + preempted, 0))
    expect(victims[0]).toEqual([expect.any(Number), 31, 2])
  })

  it('leaves a step in flight out, with what is called meanwhile', async () => {
    const seen: string[][] = []
    const rig: EngineRig = new EngineRig(traced(), {
      beforeSettle: ({ step }) => {
        if (step === 2) rig.engine.add(newRequest(1, 4, 1))
        seen.push(kinds(rig).map(String))
      },
    })
    rig.engine.add(newRequest(0, 4, 8))
    await rig.engine.step()
    await rig.engine.step()
    expect(seen).toEqual([['add'], ['add', 'plan', 'rows', 'step']])
    expect(kinds(rig)).toEqual(['add', 'plan', 'rows', 'step', 'plan', 'add', 'rows', 'step'])
  })

  it('ends its trace with the error that ended it, and the plan that was refused', async () => {
    const rig = new EngineRig(traced({ budgetPolicy: 'uncharged', maxNumBatchedTokens: 8, maxNumSeqs: 4 }), {
      rightInEight: 8,
    })
    for (const id of [0, 1, 2]) rig.engine.add(newRequest(id, 1, 30))
    const error = await rig.drain().then(
      () => undefined,
      (thrown) => WeirError.from(thrown),
    )
    expect(error?.code).toBe('BUDGET_EXCEEDED')
    expect(kinds(rig).slice(-2)).toEqual(['plan', 'fatal'])
    const { records, plans, failure } = replayTrace(rig.engine.trace())
    expect([records.length, plans]).toEqual([1, 2])
    expect(failure).toEqual({ step: 2, ...error?.toData() })
    rig.engine.abort(0)
    rig.engine.fail(new WeirError('DISPOSED', 'later'))
    expect(kinds(rig).slice(-2)).toEqual(['plan', 'fatal'])
  })

  it('takes about 30 bytes for a decoding request and step', async () => {
    const requests = 16
    const rig = new EngineRig(traced({ maxNumSeqs: requests, maxModelLen: 1024, kvCacheTokens: 16384 }))
    for (let id = 0; id < requests; id++) rig.engine.add(newRequest(id, 1, 400))
    for (let step = 0; step < 20; step++) await rig.engine.step()
    const before = rig.engine.trace().length
    for (let step = 0; step < 60; step++) await rig.engine.step()
    const bytes = (rig.engine.trace().length - before) / (60 * requests)
    expect(bytes).toBeGreaterThan(15)
    expect(bytes).toBeLessThan(40)
  })
})

describe('an engine without debug.trace', () => {
  it('has no trace, and says which option gives one', async () => {
    const rig = new EngineRig(traced({ debug: { ...TRACED, trace: false } }))
    rig.engine.add(newRequest(0, 4, 2))
    await rig.drain()
    expect(() => rig.engine.trace()).toThrow(/load with debug\.trace/)
    expect(() => rig.engine.trace()).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }))
  })

  it('runs the same steps as one that is traced', async () => {
    const runs = await Promise.all(
      [false, true].map(async (trace) => {
        const rig = new EngineRig(traced({ maxModelLen: 64, kvCacheTokens: 64, debug: { ...TRACED, trace } }))
        for (const id of [0, 1, 2]) rig.engine.add(newRequest(id, 15, 40))
        await rig.drain()
        return { plans: rig.runner.plans, records: rig.records }
      }),
    )
    expect(runs[0]).toEqual(runs[1])
  })
})
