/** What an error ends: one request, or everything. */

import { describe, expect, it } from 'vitest'
import type { StepOutput, StepPlan } from '../../../src/core/stepPlan.ts'
import { EngineCore } from '../../../src/engine/engineCore.ts'
import { type ErrorCode, WeirError } from '../../../src/protocol/errors.ts'
import { EngineRig, engineOptions, GREEDY, newRequest, promptOf } from '../../helpers/coreFixtures.ts'
import { endOf, ownedBlocks } from '../../helpers/engineRuns.ts'
import { generateAlone, MOCK_VOCAB_SIZE } from '../../helpers/mockModel.ts'
import { MockRunner } from '../../helpers/mockRunner.ts'

async function stepError(rig: Pick<EngineRig, 'engine'>): Promise<WeirError> {
  const thrown = await rig.engine.step().then(
    () => undefined,
    (error: unknown) => error,
  )
  if (!(thrown instanceof WeirError)) throw new Error('the step did not fail with a WeirError')
  return thrown
}

describe('an error of one request', () => {
  it('leaves nothing of the step that ended it in the prefix cache', async () => {
    const rig = new EngineRig(engineOptions(), { notFinite: new Set([1]) })
    const prompt = { promptTokenIds: promptOf(40, 1) }
    for (const id of [1, 2]) {
      rig.engine.add(newRequest(id, 0, 4, prompt))
      await rig.drain()
    }
    expect(rig.records.map(({ cachedTokens }) => cachedTokens)).toEqual(rig.records.map(() => 0))
  })

  it('ends it with NUMERIC_ERROR and no other', async () => {
    const rig = new EngineRig(engineOptions(), { notFinite: new Set([1]) })
    for (const id of [0, 1, 2]) rig.engine.add(newRequest(id, 8, 12))
    await rig.drain()
    expect(endOf(rig, 1).error).toMatchObject({ code: 'NUMERIC_ERROR', fatal: false })
    expect(endOf(rig, 1).reason).toBeUndefined()
    for (const id of [0, 2]) expect(endOf(rig, id).tokenIds).toEqual(generateAlone(promptOf(8, id), 12, GREEDY))
    expect(ownedBlocks(rig)).toBe(0)
  })

  it.each([
    ['f16', /load with kvCacheDtype: 'f32'/],
    ['f32', /are at fault$/],
  ] as const)('names what may help: with %s %s', async (kvCacheDtype, message) => {
    const rig = new EngineRig(engineOptions({ kvCacheDtype }), { notFinite: new Set([1]) })
    rig.engine.add(newRequest(1, 8, 12))
    await rig.drain()
    expect(endOf(rig, 1).error?.message).toMatch(message)
  })

  it('refuses bad and doubled requests while others go on', async () => {
    const rig = new EngineRig(engineOptions({ maxModelLen: 32 }))
    rig.engine.add(newRequest(0, 8, 12))
    const add = (request: ReturnType<typeof newRequest>) => () => rig.engine.add(request)
    const invalid = expect.objectContaining({ code: 'INVALID_REQUEST' })
    expect(add(newRequest(0, 4, 4))).toThrow(invalid)
    expect(add(newRequest(1, 32, 4))).toThrow(invalid)
    expect(add(newRequest(1, 4, 4, { promptTokenIds: [] }))).toThrow(invalid)
    expect(add(newRequest(1, 4, 4, { promptTokenIds: [MOCK_VOCAB_SIZE] }))).toThrow(invalid)
    await rig.drain()
    expect(endOf(rig, 0).tokenIds).toEqual(generateAlone(promptOf(8, 0), 12, GREEDY))
    expect(rig.ends.size).toBe(1)
  })
})

describe('a fatal error', () => {
  const codes: readonly ErrorCode[] = ['DEVICE_LOST', 'OUT_OF_MEMORY', 'BUDGET_EXCEEDED', 'INTERNAL']
  it.each(codes)('%s of the runner ends every request with it, and the engine refuses more (50)', async (code) => {
    const rig = new EngineRig(engineOptions({ maxNumSeqs: 2 }), {
      beforeSettle: (plan) => {
        if (plan.step === 3) throw new WeirError(code, 'gone')
      },
    })
    for (const id of [0, 1, 2]) rig.engine.add(newRequest(id, 8, 12))
    await rig.engine.step()
    await rig.engine.step()
    const error = await stepError(rig)
    expect(error).toMatchObject({ code, message: 'gone' })
    for (const id of [0, 1, 2]) expect(endOf(rig, id).error).toBe(error)
    expect(() => rig.engine.add(newRequest(3, 8, 12))).toThrow(error)
    expect(await stepError(rig)).toBe(error)
    expect(rig.engine.hasWork()).toBe(false)
    expect(ownedBlocks(rig)).toBe(0)
  })

  it('may come from outside while a step is in flight', async () => {
    const lost = new WeirError('DEVICE_LOST', 'the device was lost')
    const rig: EngineRig = new EngineRig(engineOptions(), {
      beforeSettle: () => {
        rig.engine.fail(lost)
      },
    })
    rig.engine.add(newRequest(0, 8, 12))
    expect(await stepError(rig)).toBe(lost)
    expect(endOf(rig, 0)).toMatchObject({ error: lost, tokenIds: [] })
    expect(rig.records).toEqual([])
  })

  const breaks: readonly [string, (output: StepOutput) => StepOutput, string][] = [
    [
      'other rows than planned',
      (output) => ({ ...output, encodedRows: output.encodedRows + 1 }),
      '9 rows were encoded',
    ],
    ['another step', (output) => ({ ...output, step: 9 }), 'step 9 answers step 1'],
    ['too few answers', (output) => ({ ...output, requests: [] }), 'answers step 1'],
    [
      'a token too few',
      (output) => ({ ...output, requests: output.requests.map((answer) => ({ ...answer, tokens: [] })) }),
      'one token beyond',
    ],
    [
      'more accepted than verified',
      (output) => ({ ...output, requests: output.requests.map((answer) => ({ ...answer, accepted: 1 })) }),
      '1 accepted',
    ],
  ]
  it.each(breaks)('is raised by an answer with %s (4)', async (_name, breakOutput, words) => {
    const options = engineOptions()
    const mock = new MockRunner(options)
    const engine = new EngineCore({
      options,
      runner: { submit: async (plan: StepPlan) => breakOutput(await mock.submit(plan)) },
      vocabSize: MOCK_VOCAB_SIZE,
      now: () => 0,
      hooks: { onTokens: () => undefined, onFinish: () => {}, onStep: () => {} },
    })
    engine.add(newRequest(0, 8, 12))
    const error = await stepError({ engine })
    expect(error.code).toBe('INTERNAL')
    expect(error.message).toContain(words)
  })

  it('is raised, with all that led to it, by a step that holds no request though some are unfinished (48)', async () => {
    let rows = 64
    const options = Object.defineProperty(engineOptions(), 'maxNumBatchedTokens', { get: () => rows })
    const rig = new EngineRig(options)
    rig.engine.add(newRequest(5, 8, 12))
    rows = 0
    const error = await stepError(rig)
    expect(error.code).toBe('INTERNAL')
    expect(error.message).toContain('0 running, 1 waiting, 256 of 256 KV blocks free')
    expect(error.message).toContain('waiting 5: 8 of 20 tokens')
    expect(endOf(rig, 5).error).toBe(error)
  })

  it('is raised by a second step begun before the first ends', async () => {
    const rig = new EngineRig(engineOptions())
    rig.engine.add(newRequest(0, 8, 12))
    const first = rig.engine.step()
    await expect(rig.engine.step()).rejects.toThrow('one step at a time')
    await first
    await rig.drain()
    expect(endOf(rig, 0).reason).toBe('length')
  })
})
