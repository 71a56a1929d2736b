/** One trace, and what has become of it: refused with the reason, or replayed beside whoever goes on. */

import { beforeAll, describe, expect, it } from 'vitest'
import { replayTrace } from '../../../src/engine/trace/replay.ts'
import { WeirError } from '../../../src/protocol/errors.ts'
import type { EngineOptions } from '../../../src/protocol/options.ts'
import { EngineRig, engineOptions, newRequest } from '../../helpers/coreFixtures.ts'
import { withLines } from '../../helpers/traceChanges.ts'

describe('a trace', () => {
  const options = engineOptions({
    maxNumBatchedTokens: 16,
    maxNumSeqs: 2,
    maxModelLen: 64,
    kvCacheTokens: 64,
    debug: { logits: 'off', steps: false, trace: true },
  })
  let trace = ''

  beforeAll(async () => {
    const rig = new EngineRig(options)
    rig.engine.add(newRequest(0, 20, 6))
    rig.engine.add(newRequest(1, 5, 9))
    rig.engine.resetPrefixCache()
    await rig.drain()
    trace = rig.engine.trace()
  })

  function refusal(text: string): WeirError {
    try {
      replayTrace(text)
    } catch (thrown) {
      if (thrown instanceof WeirError) return thrown
      throw thrown
    }
    throw new Error('it was replayed')
  }

  /** Replaces the first text that matches, once. */
  function changed(pattern: RegExp, by: string): string {
    expect(trace).toMatch(pattern)
    return trace.replace(pattern, by)
  }

  it('that is cut after any of its characters is refused', () => {
    for (let length = 0; length < trace.length; length++)
      expect(refusal(trace.slice(0, length)).code).toBe('TRACE_FORMAT')
    expect(refusal(`${trace}\n`).code).toBe('TRACE_FORMAT')
    expect(refusal(trace.slice(0, -1)).message).toMatch(/cut/)
  })

  it('that lacks a line, or has one more, is refused, whichever it is', () => {
    const lines = trace.split('\n').slice(0, -2)
    for (let i = 0; i < lines.length; i++) {
      const without = `${[...lines.toSpliced(i, 1), `{"lines":${lines.length}}`].join('\n')}\n`
      const twice = `${[...lines.toSpliced(i, 0, lines[i] ?? ''), `{"lines":${lines.length}}`].join('\n')}\n`
      expect(refusal(without).code).toBe('TRACE_FORMAT')
      expect(refusal(twice).code).toBe('TRACE_FORMAT')
    }
  })

  it('of a fatal error ends with it: nothing may follow', async () => {
    const rig = new EngineRig(options)
    rig.engine.add(newRequest(0, 20, 6))
    await rig.engine.step()
    rig.engine.fail(new WeirError('DEVICE_LOST', 'the device is gone', { reason: 'destroyed' }))
    const ended = rig.engine.trace()
    const { records, plans, failure } = replayTrace(ended)
    expect([records.length, plans]).toEqual([1, 1])
    const details = { reason: 'destroyed' }
    expect(failure).toEqual({ step: 1, code: 'DEVICE_LOST', message: 'the device is gone', details })
    const more = withLines(ended, (lines) => [...lines, '["reset"]'])
    expect(refusal(more).message).toMatch(/nothing may follow/)
  })

  it.each<[string, RegExp]>([
    ['', /not a trace/],
    ['a story', /not a trace/],
    ['{"weirTrace":3}', /vocabSize/],
    ['{"weirTrace":3,"vocabSize":9,"options":[]}\n', /options must be an object/],
    ['{"weirTrace":2,"vocabSize":9,"options":{}}\n{"lines":1}\n', /format version 2, this engine reads version 3/],
    ['{"weirTrace":', /not JSON/],
  ])('is not %j', (text, message) => {
    expect(refusal(text).code).toBe('TRACE_FORMAT')
    expect(refusal(text).message).toMatch(message)
  })

  it('is text', () => {
    for (const value of [undefined, null, 7, {}, new ArrayBuffer(8)]) {
      expect(refusal(value as unknown as string).message).toMatch(/not a trace/)
    }
  })

  it.each<[string, RegExp, string, RegExp]>([
    ['an option of a later version', /"watermark":/, '"later":1,"watermark":', /^options: unknown key "later"/],
    ['an option that is missing', /"watermark":0,/, '', /^watermark must be a number/],
    ['an option of another type', /"enablePrefixCaching":true/, '"enablePrefixCaching":1', /true or false/],
    ['options that no engine takes', /"maxNumSeqs":2/, '"maxNumSeqs":17', /its options are not valid.*maxNumSeqs 17/],
    ['more KV than any device has', /"kvCacheTokens":64/, '"kvCacheTokens":1e15', /kvCacheTokens must be/],
  ])('for an engine with %s is refused', (_what, pattern, by, message) => {
    const error = refusal(changed(pattern, by))
    expect(error.code).toBe('TRACE_FORMAT')
    expect(error.message).toMatch(message)
  })

  it.each<[string, RegExp, string, RegExp]>([
    ['an unknown kind of line', /\["reset"\]/, '["rest"]', /line 4.*unknown kind of line "rest"/],
    ['an empty line', /\["reset"\]/, '', /line 4.*not JSON/],
    ['an id that does not exist', /\["end",0,/, '["end",7,', /there is no request 7/],
    ['an id twice', /\["add",1,/, '["add",0,', /line 3.*request id 0 is in use/],
    [
      'a prompt id outside the vocabulary',
      /\["add",0,26,0,null,null,\{.*?\},\[\d+/,
      '["add",0,26,0,null,null,{"seed":0},[997',
      /outside/,
    ],
    ['a request beyond maxModelLen', /\["add",0,26/, '["add",0,65', /65 tokens exceed maxModelLen 64/],
    ['a request without room', /\["add",0,26/, '["add",0,20', /max_tokens/],
    ['a priority under fcfs', /\["add",0,26,0/, '["add",0,26,1', /priority 1 has no effect/],
    ['an unknown reason', /"length"\]/, '"tired"]', /the reason must be one of/],
    ['more accepted than verified', /\["rows",\[\d+\]/, '["rows",{"accepted":9,"ids":[1]}', /9 of \d drafts accepted/],
    ['more ids than drafts and one', /\["rows",\[\]/, '["rows",{"accepted":0,"ids":[1]}', /1 ids committed, at most 0/],
    ['ids outside the vocabulary', /\["rows",\[\d+\]/, '["rows",[997]', /token id 997 is outside/],
    ['no outcome of a request that goes on', /\["rows",\[\]/, '["rows",{"accepted":0}', /request 0 took no notice/],
    [
      'an answer cut short that goes on',
      /\["rows",\[(\d+),\d+\]/,
      '["rows",{"accepted":1,"ids":[$1]}',
      /was cut short, yet/,
    ],
    ['an outcome too many', /\["rows",/, '["rows",[],', /here is one more outcome|ids committed/],
    ['no outcome at all', /\n\["rows",.*/, '\n["rows"]', /the outcome of 1 requests is missing/],
    ['more proposed than planned', /\["step",0,/, '["step",9,', /9 drafts proposed, the plan has 0/],
    ['more committed than came', /\["step",0,0/, '["step",0,5', /5 of 0 ids committed/],
    ['a time that is none', /\["step",0,0,\[\d+/, '["step",0,0,[null', /schedule must be a number/],
    ['a time of the GPU that is none', /(\["step",0,0,\[\d+,\d+,\d+,\d+)/, '$1,1,null', /draft must be a number/],
    ['half of the times of the GPU', /(\["step",0,0,\[\d+,\d+,\d+,\d+)/, '$1,1', /four/],
    ['a time too many', /(\["step",0,0,\[\d+,\d+,\d+,\d+)/, '$1,1,1,1', /times/],
    ['another plan', /\["plan",2,"./, '["plan",2,"x', /line 8, step 2: the plan differs from the recorded one/],
  ])('with %s is refused', (_what, pattern, by, message) => {
    const error = refusal(changed(pattern, by))
    expect(error.code).toBe('TRACE_FORMAT')
    expect(error.message).toMatch(message)
    expect(error.details).toMatchObject({ line: expect.any(Number), step: expect.any(Number) })
  })

  it.each<[string, string, readonly string[], RegExp]>([
    [
      'an outcome of a request that has ended',
      '["rows"',
      ['["end",0,"abort"]', '["rows",[]]'],
      /request 0 has ended already/,
    ],
    ['a request beyond its end', '["end"', [], /at its length limit, yet it goes on/],
    ['a step whose rows are not heard of', '["rows"', [], /the outcome of 1 requests is missing/],
    ['a step without its end', '["step"', [], /step 1 has no end/],
    [
      'a plan for nobody',
      '["reset"',
      ['["reset"]', '["end",0,"abort"]', '["end",1,"abort"]'],
      /nothing can be planned/,
    ],
  ])('with %s is refused', (_what, start, by, message) => {
    const one = (lines: readonly string[]): number => lines.findIndex((line) => line.startsWith(start))
    const error = refusal(withLines(trace, (lines) => lines.toSpliced(one(lines), 1, ...by)))
    expect(error.code).toBe('TRACE_FORMAT')
    expect(error.message).toMatch(message)
  })

  it('with an input changed that a plan depends on is refused at that plan, by step and line', () => {
    const { length } = trace.match(/\["add",1,14/g) ?? []
    expect(length).toBe(1)
    const error = refusal(changed(/\["add",1,14/, '["add",1,12'))
    expect(error.message).toMatch(/the plan differs from the recorded one: …/)
    const [, line = '', step = ''] = /^line (\d+), step (\d+)/.exec(error.message) ?? []
    expect(trace.split('\n')[Number(line) - 1]).toMatch(`["plan",${step},`)
  })

  it('is replayed beside an engine that goes on, which hears nothing of it', async () => {
    const rig = new EngineRig(options)
    rig.engine.add(newRequest(0, 20, 6))
    rig.engine.add(newRequest(1, 5, 9))
    rig.engine.resetPrefixCache()
    while (rig.engine.hasWork()) {
      replayTrace(trace)
      await rig.engine.step()
    }
    expect(rig.engine.trace()).toBe(trace)
  })

  it('keeps the times of the GPU where a step had any, to a microsecond', async () => {
    const times = [{}, { gpu: 2.34567, draft: 1.23456 }, { gpu: 0, draft: 0 }]
    const rig = new EngineRig(options, { ms: ({ step }) => ({ encode: 0, wait: 0, ...times[step % 3] }) })
    rig.engine.add(newRequest(0, 20, 6))
    await rig.drain()
    const { records } = replayTrace(rig.engine.trace())
    expect(records).toEqual(rig.records)
    const kept = records.slice(0, 3).map(({ ms: { gpu, draft } }) => [gpu, draft])
    expect(kept).toEqual([
      [2.346, 1.235],
      [0, 0],
      [undefined, undefined],
    ])
    expect(records.map(({ ms }) => 'gpu' in ms && 'draft' in ms)).toEqual(records.map(({ step }) => step % 3 > 0))
    expect(rig.engine.trace()).toMatch(/\["step",0,\d,\[\d,0,0,\d+,2\.346,1\.235\]\]/)
  })

  it('keeps the options of its engine', () => {
    const wanted: EngineOptions = options
    expect(replayTrace(trace).options).toEqual(wanted)
  })
})
