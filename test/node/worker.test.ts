/** The service behind the worker boundary, over a scripted model: one message per step, and what it says outside of steps. */

import { describe, expect, it } from 'vitest'
import { FATAL_CODES } from '../../src/protocol/errors.ts'
import { StepLoop } from '../../src/worker/loop.ts'
import { endless, MODEL_URL, saying } from '../helpers/scriptedModel.ts'
import { ServiceRig, serve, unwrap } from '../helpers/serviceRig.ts'

describe('messages', () => {
  it('are one per step, with all samples in it, and say what the step committed', async () => {
    const served = await serve(saying('Once upon a time there was a fox.'), {
      maxNumBatchedTokens: 32,
      maxNumSeqs: 4,
      speculative: { method: 'mtp', numSpeculativeTokens: 2, adaptive: false },
    })
    for (let i = 0; i < 7; i++) unwrap(await served.submit('There once was a house in the wood', { n: 1 + (i % 3) }))
    await served.ended(7)
    const { messages } = served
    expect(messages.map(({ record }) => record?.step)).toEqual(messages.map((_, index) => index + 1))
    for (const { record, updates } of messages) {
      expect(new Set(updates.map(({ id, index }) => `${id} ${index}`)).size).toBe(updates.length)
      expect(updates.reduce((sum, { token_ids }) => sum + token_ids.length, 0)).toBe(record?.committedTokens)
      expect((record?.baseRows ?? 0) + (record?.draftRows ?? 0) + (record?.prefillRows ?? 0)).toBeLessThanOrEqual(32)
    }
    expect(Math.max(...messages.map(({ updates }) => updates.length))).toBe(4)
    const { steps, committedTokens, plannedBytes, allocatedBytes, kernels, batchInvariant } = await served.stats()
    expect(steps).toBe(messages.length)
    expect(committedTokens).toBe(messages.reduce((sum, { record }) => sum + (record?.committedTokens ?? 0), 0))
    expect({ plannedBytes, allocatedBytes, kernels, batchInvariant }).toEqual({
      plannedBytes: 1000,
      allocatedBytes: 1000,
      kernels: { linear: 'scripted' },
      batchInvariant: true,
    })
  })

  it('carry the debug that was asked for', async () => {
    const served = await serve(saying('Once upon a time'), {
      debug: { steps: true },
      speculative: { method: 'mtp', numSpeculativeTokens: 2, adaptive: false },
    })
    const { ids, end, debug } = await served.answer('A')
    const steps = debug?.steps ?? []
    expect(steps[0]?.at).toBe(end?.usage.prompt_tokens)
    expect(steps.reduce((sum, { accepted }) => sum + accepted + 1, 0)).toBeGreaterThanOrEqual(ids.length)
    const silent = await serve(saying('Once'))
    await silent.answer('A')
    expect(silent.updates(0).at(-1)).not.toHaveProperty('debug')
  })

  it('tell of an abort outside of steps, once', async () => {
    const served = await serve(endless)
    const { service, loader } = served
    loader.runner?.pause()
    unwrap(await served.submit('A'))
    unwrap(await served.submit('A', { max_tokens: 2 }))
    await service.abort(0)
    await service.abort(0)
    await service.abort(77)
    expect(served.messages).toMatchObject([{ updates: [{ id: 0, finish_reason: 'abort' }] }])
    expect(served.messages[0]).not.toHaveProperty('record')
    loader.runner?.resume()
    await served.ended(2)
    expect(served.updates(0)).toHaveLength(1)
    expect(served.updates(1).at(-1)?.finish_reason).toBe('length')
  })
})

describe('the service', () => {
  it('answers before and without a load', async () => {
    const { service } = new ServiceRig(endless)
    expect(await service.probe({})).toMatchObject({ ok: true, value: { backend: 'webgpu', reason: 'a test' } })
    expect(await service.plan(MODEL_URL, {})).toMatchObject({ ok: true, value: { totalBytes: 1000 } })
    const refused = { ok: false, error: { code: 'INVALID_OPTION' } }
    expect(await service.plan(MODEL_URL, { maxNumSeqs: 300 })).toMatchObject(refused)
    await service.dispose()
    expect(await service.stats()).toMatchObject({ ok: false, error: { code: 'DISPOSED' } })
    expect(await service.submit(0, 'A', {})).toMatchObject({ ok: false, error: { code: 'DISPOSED' } })
  })

  it('treats what is not one of its errors as a fatal defect', async () => {
    const served = await serve(() => {
      throw new RangeError('a defect')
    })
    const { error } = await served.answer('A')
    expect(error).toMatchObject({ code: 'INTERNAL', message: 'a defect' })
    expect(FATAL_CODES.has('INTERNAL')).toBe(true)
    expect(await served.submit('A')).toMatchObject({ ok: false, error: { code: 'INTERNAL' } })
  })
})

describe('the run loop', () => {
  it('lets the event loop turn between two steps', async () => {
    const { port1, port2 } = new MessageChannel()
    let steps = 0
    let turns = 0
    port1.onmessage = () => {
      turns += 1
      port2.postMessage(null)
    }
    port2.postMessage(null)
    await new Promise<void>((resolve) => {
      const step = async () => {
        steps += 1
        if (steps === 50) resolve()
      }
      const loop = new StepLoop({ hasWork: () => steps < 50, step }, () => {})
      loop.wake()
      loop.wake()
    })
    port1.close()
    expect(steps).toBe(50)
    expect(turns).toBeGreaterThan(10)
  })

  it('hears of a message before the second step after it, though a step returns to no event loop itself', async () => {
    const { port1, port2 } = new MessageChannel()
    const heardAfter: number[] = []
    let steps = 0
    port2.onmessage = () => heardAfter.push(steps)
    await new Promise<void>((resolve) => {
      const step = async () => {
        steps += 1
        if (steps % 10 === 1) port1.postMessage(null)
        // As on the processor: busy for a while, and every promise on the way is settled by a microtask.
        for (const from = performance.now(); performance.now() - from < 2; ) await null
        if (steps === 50) resolve()
      }
      new StepLoop({ hasWork: () => steps < 50, step }, () => {}).wake()
    })
    port1.close()
    expect(heardAfter).toHaveLength(5)
    for (const [index, step] of heardAfter.entries()) expect(step).toBeLessThanOrEqual(index * 10 + 2)
  })

  it('stops for good at an error', async () => {
    const errors: unknown[] = []
    let steps = 0
    const fail = async () => {
      steps += 1
      throw new Error(`step ${steps}`)
    }
    const loop = new StepLoop({ hasWork: () => true, step: fail }, (thrown) => errors.push(thrown))
    loop.wake()
    await loop.stop()
    expect(steps).toBe(0)
    const other = new StepLoop({ hasWork: () => true, step: fail }, (thrown) => errors.push(thrown))
    other.wake()
    await new Promise((resolve) => setTimeout(resolve, 20))
    other.wake()
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(errors).toEqual([new Error('step 1')])
  })
})
