import { describe, expect, it } from 'vitest'
import { checkLoadOptions, readLoadOptions } from '../../src/api/options.ts'
import { WeirError } from '../../src/protocol/errors.ts'
import type { LoadOptions } from '../../src/protocol/options.ts'
import { proxied } from '../helpers/proxied.ts'

function checked(options: unknown) {
  return checkLoadOptions(readLoadOptions(options as LoadOptions))
}

function refusal(options: unknown): WeirError {
  try {
    checked(options)
  } catch (thrown) {
    if (thrown instanceof WeirError) return thrown
    throw thrown
  }
  throw new Error(`accepted ${JSON.stringify(options)}`)
}

/** [option, value, what the message allows] */
const REFUSED: readonly (readonly [string, unknown, RegExp])[] = [
  ['maxNumSeqs', 0, /an integer from 1 to 2147483647/],
  ['maxNumSeqs', '16', /an integer from 1/],
  ['maxModelLen', 2 ** 22, /an integer from 2 to 4194303/],
  ['kvCacheTokens', 2 ** 53, /an integer from 1 to 2147483647/],
  ['longPrefillTokenThreshold', -1, /a non-negative integer/],
  ['priorityAgingTokens', 0, /an integer from 1 to 4294967296/],
  ['budgetPolicy', 'generous', /'exact' or 'reserve' or 'uncharged'/],
  ['budgetPolicy', 1, /'exact'/],
  ['schedulingPolicy', 'lottery', /'fcfs' or 'priority'/],
  ['schedulingPolicy', true, /'fcfs'/],
  ...[-0.01, 1, 2, Number.NaN, '0.1'].map(
    (value) => ['watermark', value, /a number from 0 up to, but not including, 1/] as const,
  ),
  ['kvCacheDtype', 'f8', /'f16' or 'f32'/],
  ['enablePrefixCaching', 1, /true or false/],
  ['enablePrefixCaching', 'yes', /true or false/],
  ['penalties', 1, /true or false/],
  ['speculative', 'mtp', /method: 'mtp'/],
  ['speculative', [], /method: 'mtp'/],
  ['speculative.method', 'eagle', /'mtp' or 'ngram'|'mtp'.*'ngram'/],
  ['speculative.adaptive', 'yes', /true or false/],
  ['speculative.draftVocabSize', 0, /an integer from 1 to/],
  ['speculative.draftVocabSize', '1k', /an integer from 1 to/],
  ['speculative.draftVocabFile', '', /a URL/],
  ['speculative.draftVocabFile', [1, 2], /a URL/],
  ['speculative.promptLookupMin', 0, /an integer from 1 to/],
  ['speculative.promptLookupMax', 1.5, /an integer from 1 to/],
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
  ['onWarning', 1, /a function/],
  ['signal', {}, /an AbortSignal/],
  ['signal', new AbortController(), /an AbortSignal, such as an AbortController's signal.*not an AbortController/],
  ['speculative.tokens', 2, /method, numSpeculativeTokens/],
  ['debug.rows', true, /logits, steps, trace/],
  ['max_num_seqs', 4, /did you mean maxNumSeqs\?/],
  ['maxNumSeq', 4, /did you mean maxNumSeqs\?/],
  ['kv_cache_dtype', 'f32', /did you mean kvCacheDtype\?/],
  ['speculative.num_speculative_tokens', 2, /did you mean speculative\.numSpeculativeTokens\?/],
  ['backend', 'cpu', /'auto' or 'webgpu' or 'wasm'/],
  ['numThreads', 0, /from 1 to 64/],
  ['quantization', 'q4', /'none' or 'int8' or 'int4' or 'w8a8'/],
  ['toString', 4, /maxNumSeqs/],
]

/** `{ a: { b: value } }` of 'a.b', with the other fields of `a` as they should be. */
function withOption(path: string, value: unknown): object {
  const [option = '', field] = path.split('.')
  if (field === undefined) return { [option]: value }
  const rest = option === 'speculative' ? { method: 'mtp', numSpeculativeTokens: 2 } : {}
  return { [option]: { ...rest, [field]: value } }
}

/** A value for each option that crosses to the worker. */
const WHOLE = {
  backend: 'wasm',
  numThreads: 2,
  maxNumBatchedTokens: 64,
  maxNumSeqs: 4,
  maxModelLen: 128,
  kvCacheTokens: 512,
  speculative: { method: 'mtp', numSpeculativeTokens: 0 },
  budgetPolicy: 'reserve',
  kvCacheDtype: 'f32',
  quantization: 'w8a8',
  enablePrefixCaching: false,
  longPrefillTokenThreshold: 0,
  maxNumPartialPrefills: 2,
  schedulingPolicy: 'priority',
  priorityAgingTokens: 1,
  watermark: 0,
  penalties: false,
  debug: { logits: 'digest', steps: true, trace: false },
} as const

describe('load options', () => {
  it.each(REFUSED)('refuses %s = %s', (option, value, allowed) => {
    const error = refusal(withOption(option, value))
    expect(error.code).toBe('INVALID_OPTION')
    expect(error.message).toContain(option)
    expect(error.message).toMatch(allowed)
    expect(error.details.option).toBe(option)
  })

  it.each(['fast', 3, [], new Map(), new AbortController()])('refuses %s as options', (options) => {
    expect(refusal(options).code).toBe('INVALID_OPTION')
  })

  it('hands on what crosses to the worker, and nothing that is missing', () => {
    const sent = WHOLE
    const page = { onProgress: () => {}, onStep: () => {}, onWarning: () => {}, signal: new AbortController().signal }
    const all = checked({ ...sent, ...page })
    expect(all).toEqual(sent)
    expect(structuredClone(all)).toEqual(sent)
  })

  it('are unset by null and undefined, alone and together', () => {
    for (const nothing of [null, undefined]) {
      expect(checked(nothing)).toEqual({})
      const unset = Object.fromEntries([...Object.keys(WHOLE), 'signal', 'onStep'].map((option) => [option, nothing]))
      expect(checked(unset)).toEqual({})
      expect(checked({ debug: { logits: nothing, steps: true } })).toEqual({ debug: { steps: true } })
    }
  })

  it('are read once into plain data, whatever wraps them', () => {
    const reads: string[] = []
    const wrapped = proxied(WHOLE, (name) => reads.push(name))
    expect(structuredClone(checked(wrapped))).toEqual(WHOLE)
    expect(reads.filter((name, index) => reads.indexOf(name) < index)).toEqual([])
    const broken = {
      get maxNumSeqs(): number {
        throw new Error('no number yet')
      },
    }
    expect(refusal(broken)).toMatchObject({ code: 'INVALID_OPTION', message: expect.stringContaining('no number yet') })
  })
})
