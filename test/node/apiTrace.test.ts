/** Trace and replay through the public API: recorded by an engine, replayed by a service that has none. */

import { afterEach, describe, expect, it } from 'vitest'
import type { LLM } from '../../src/api/llm.ts'
import { unwrap } from '../../src/api/session.ts'
import { WeirError } from '../../src/protocol/errors.ts'
import type { LoadOptions } from '../../src/protocol/options.ts'
import type { Replay } from '../../src/protocol/replay.ts'
import type { StepRecord } from '../../src/protocol/stepRecord.ts'
import { connect, errorOf, WAYS } from '../helpers/connect.ts'
import { endless, MockLoader } from '../helpers/scriptedModel.ts'

const TRACED: LoadOptions = { maxNumBatchedTokens: 16, maxNumSeqs: 4, debug: { trace: true } }

describe.each(WAYS)('a trace %s', (_name, open) => {
  let llm: LLM | undefined
  afterEach(async () => {
    await llm?.dispose()
    llm = undefined
  })

  /** In a service that has loaded nothing, as `LLM.replay` starts one. */
  async function replay(trace: string): Promise<Replay> {
    return unwrap(await open(new MockLoader()).service.replay(trace))
  }

  it('is replayed to the records that the page got', async () => {
    const records: StepRecord[] = []
    const model = await connect(open(new MockLoader(endless)), { ...TRACED, onStep: (record) => records.push(record) })
    llm = model
    await Promise.all([
      model.generate('A', { max_tokens: 9, n: 2 }).result(),
      model.generate('B', { max_tokens: 3 }).result(),
    ])
    // Leaving an answer ends it with 'abort'.
    for await (const _part of model.generate('The end', { max_tokens: 30 })) break
    const replayed = await replay(await model.trace())
    // What computes is not in a trace: plans do not depend on it.
    const { backend: _, quantization: __, ...options } = model.options
    expect(replayed.options).toEqual(options)
    expect(replayed.requests).toBe(4)
    expect(replayed.records.length).toBeGreaterThan(5)
    expect(replayed.records).toEqual(records.slice(0, replayed.records.length))
    expect(replayed.plans).toBe(replayed.records.length)
    expect(replayed).not.toHaveProperty('failure')
  })

  it('is there after a fatal error, and gone with the engine', async () => {
    const speculative = { method: 'mtp', numSpeculativeTokens: 4, adaptive: false } as const
    const model = await connect(open(new MockLoader(endless)), { ...TRACED, speculative, budgetPolicy: 'uncharged' })
    const error = await errorOf(Promise.all([1, 2, 3, 4].map(() => model.generate('A').result())))
    expect(error.code).toBe('BUDGET_EXCEEDED')
    const { plans, records, failure } = await replay(await model.trace())
    expect(plans).toBe(records.length + 1)
    expect(failure).toEqual({ step: plans, ...error.toData() })
    await model.dispose()
    expect((await errorOf(model.trace())).code).toBe('DISPOSED')
  })

  it('needs debug.trace', async () => {
    llm = await connect(open(new MockLoader(endless)), { debug: { steps: true } })
    const error = await errorOf(llm.trace())
    expect(error.code).toBe('INVALID_OPTION')
    expect(error.message).toContain('debug.trace')
  })

  it('that is none is refused as TRACE_FORMAT', async () => {
    const error = await errorOf(replay('once upon a time'))
    expect(error).toBeInstanceOf(WeirError)
    expect(error.code).toBe('TRACE_FORMAT')
  })
})
