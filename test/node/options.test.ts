import { describe, expect, it } from 'vitest'
import { checkLoadOptions } from '../../src/api/options.ts'
import { WeirError } from '../../src/protocol/errors.ts'
import type { LoadOptions } from '../../src/protocol/options.ts'

function refusal(options: unknown): WeirError {
  try {
    checkLoadOptions(options as LoadOptions)
  } catch (thrown) {
    if (thrown instanceof WeirError) return thrown
    throw thrown
  }
  throw new Error(`accepted ${JSON.stringify(options)}`)
}

const COUNTS = ['maxNumBatchedTokens', 'maxNumSeqs', 'maxModelLen', 'kvCacheTokens', 'priorityAgingTokens']
const ZEROS_OR_COUNTS = ['longPrefillTokenThreshold', 'maxNumPartialPrefills']
const NOT_ZERO = [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, '0', null, false]
const NOT_COUNTS = [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, '16', null, {}, true]

/** [option, value, what the message allows] */
const REFUSED: readonly (readonly [string, unknown, RegExp])[] = [
  ...COUNTS.flatMap((name) => NOT_COUNTS.map((value) => [name, value, /a positive integer/] as const)),
  ...ZEROS_OR_COUNTS.flatMap((name) => NOT_ZERO.map((value) => [name, value, /a non-negative integer/] as const)),
  ['backend', 'cuda', /'auto' or 'webgpu' or 'wasm'/],
  ['budgetPolicy', 'generous', /'exact' or 'reserve' or 'uncharged'/],
  ['budgetPolicy', 1, /'exact'/],
  ['schedulingPolicy', 'lottery', /'fcfs' or 'priority'/],
  ['schedulingPolicy', true, /'fcfs'/],
  ...[-0.01, 1, 2, Number.NaN, '0.1', null].map(
    (value) => ['watermark', value, /a number from 0 up to, but not including, 1/] as const,
  ),
  ['quantization', 'int4', /'none'/],
  ['kvCacheDtype', 'f8', /'f16' or 'f32'/],
  ['enablePrefixCaching', 1, /true or false/],
  ['enablePrefixCaching', 'yes', /true or false/],
  ['penalties', 1, /true or false/],
  ['speculative', 'mtp', /method: 'mtp'/],
  ['speculative', null, /method: 'mtp'/],
  ['speculative', [], /method: 'mtp'/],
  ['speculative.method', 'eagle', /'mtp' or 'ngram'|'mtp'.*'ngram'/],
  ['speculative.adaptive', 'yes', /true or false/],
  ['speculative.draftVocabSize', 0, /positive integer/],
  ['speculative.draftVocabSize', '1k', /positive integer/],
  ['speculative.draftVocabFile', '', /a URL/],
  ['speculative.draftVocabFile', [1, 2], /a URL/],
  ['speculative.promptLookupMin', 0, /positive integer/],
  ['speculative.promptLookupMax', 1.5, /positive integer/],
  ['speculative.method', undefined, /'mtp'/],
  ['speculative.numSpeculativeTokens', 5, /from 0 to 4/],
  ['speculative.numSpeculativeTokens', -1, /from 0 to 4/],
  ['speculative.numSpeculativeTokens', 1.5, /from 0 to 4/],
  ['speculative.numSpeculativeTokens', undefined, /from 0 to 4/],
  ['debug', true, /\{ logits, steps, trace \}/],
  ['debug.logits', 'all', /'digest' or 'full'/],
  ['debug.steps', 1, /true or false/],
  ['debug.trace', 'yes', /true or false/],
  ['onStep', 'log', /a function/],
  ['onProgress', {}, /a function/],
  ['signal', {}, /an AbortSignal/],
  ['speculative.tokens', 2, /method, numSpeculativeTokens/],
  ['debug.rows', true, /logits, steps, trace/],
  ['max_num_seqs', 4, /maxNumSeqs/],
  ['toString', 4, /maxNumSeqs/],
]

/** `{ a: { b: value } }` of 'a.b', with the other fields of `a` as they should be. */
function withOption(path: string, value: unknown): object {
  const [option = '', field] = path.split('.')
  if (field === undefined) return { [option]: value }
  const rest = option === 'speculative' ? { method: 'mtp', numSpeculativeTokens: 2 } : {}
  return { [option]: { ...rest, [field]: value } }
}

describe('load options', () => {
  it.each(REFUSED)('refuses %s = %s', (option, value, allowed) => {
    const error = refusal(withOption(option, value))
    expect(error.code).toBe('INVALID_OPTION')
    expect(error.message).toContain(option)
    expect(error.message).toMatch(allowed)
    expect(error.details.option).toBe(option)
  })

  it.each([null, 'fast', 3, []])('refuses %s as options', (options) => {
    expect(refusal(options).code).toBe('INVALID_OPTION')
  })

  it('says which backend there is', () => {
    const error = refusal({ backend: 'wasm' })
    expect(error.code).toBe('BACKEND_UNAVAILABLE')
    expect(error.message).toMatch(/'wasm'.*'webgpu' or 'auto'/)
  })

  it('hands on what crosses to the worker, and nothing that is missing', () => {
    const sent = {
      backend: 'webgpu',
      maxNumBatchedTokens: 64,
      maxNumSeqs: 4,
      maxModelLen: 128,
      kvCacheTokens: 512,
      speculative: { method: 'mtp', numSpeculativeTokens: 0 },
      budgetPolicy: 'reserve',
      quantization: 'none',
      kvCacheDtype: 'f32',
      enablePrefixCaching: false,
      longPrefillTokenThreshold: 0,
      maxNumPartialPrefills: 2,
      schedulingPolicy: 'priority',
      priorityAgingTokens: 1,
      watermark: 0,
      penalties: false,
      debug: { logits: 'digest', steps: true, trace: false },
    } as const
    const page = { onProgress: () => {}, onStep: () => {}, signal: new AbortController().signal }
    const checked = checkLoadOptions({ ...sent, ...page })
    expect(checked).toEqual(sent)
    expect(structuredClone(checked)).toEqual(sent)
    expect(checkLoadOptions({ speculative: undefined })).toEqual({})
  })
})
