import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { servable } from '../../../src/core/cost.ts'
import { type RequestLimits, validateEngineLimits, validateRequest } from '../../../src/core/limits.ts'
import { Scheduler } from '../../../src/core/schedule/scheduler.ts'
import { type ErrorCode, WeirError } from '../../../src/protocol/errors.ts'
import type { EngineOptions } from '../../../src/protocol/options.ts'
import { engineOptions, GREEDY, mtp } from '../../helpers/coreFixtures.ts'

const MODEL = { drafter: true, maxPositions: 2048 }

function refusal(call: () => void): WeirError {
  try {
    call()
  } catch (thrown) {
    if (thrown instanceof WeirError) return thrown
    throw thrown
  }
  throw new Error('nothing was refused')
}

describe('engine limits', () => {
  const bad: readonly [string, Partial<EngineOptions>, readonly string[]][] = [
    ['B < S', { maxNumBatchedTokens: 7, maxNumSeqs: 8 }, ['maxNumBatchedTokens 7', 'maxNumSeqs 8']],
    ['a pool below one request', { kvCacheTokens: 240, maxModelLen: 241 }, ['kvCacheTokens 240', 'maxModelLen 241']],
    ['a pool of broken blocks', { kvCacheTokens: 4095 }, ['kvCacheTokens 4095', '16']],
    ['more positions than the model has', { maxModelLen: 4096, kvCacheTokens: 4096 }, ['maxModelLen 4096', '2048']],
    ['no rows', { maxNumBatchedTokens: 0 }, ['maxNumBatchedTokens', '0']],
    ['half a row', { maxNumBatchedTokens: 8.5 }, ['maxNumBatchedTokens', '8.5']],
    ['no slot', { maxNumSeqs: 0 }, ['maxNumSeqs']],
    ['no room for a new token', { maxModelLen: 1 }, ['maxModelLen']],
    ['five drafts', { speculative: mtp(5) }, ['speculative.numSpeculativeTokens', '0 to 4', '5']],
    ['minus one draft', { speculative: mtp(-1) }, ['speculative.numSpeculativeTokens']],
    ['a negative threshold', { longPrefillTokenThreshold: -1 }, ['longPrefillTokenThreshold']],
    ['not a number', { kvCacheTokens: Number.NaN }, ['kvCacheTokens']],
  ]
  it.each(bad)('refuses %s, naming the options', (_name, changes, words) => {
    const error = refusal(() => validateEngineLimits(engineOptions(changes), MODEL))
    expect(error.code).toBe('INVALID_OPTION')
    for (const word of words) expect(error.message).toContain(word)
  })

  it('refuses a drafter asked of a model without one', () => {
    const error = refusal(() => validateEngineLimits(engineOptions(), { ...MODEL, drafter: false }))
    expect(error.code).toBe('INVALID_OPTION')
    expect(error.message).toContain('speculative')
    validateEngineLimits(engineOptions({ speculative: undefined }), { ...MODEL, drafter: false })
  })

  it('refuses malformed n-grams, and asks for no drafter where none is needed', () => {
    const ngram = (promptLookupMin: number, promptLookupMax: number) =>
      engineOptions({
        speculative: { method: 'ngram', numSpeculativeTokens: 2, adaptive: false, promptLookupMin, promptLookupMax },
      })
    for (const [min, max, word] of [
      [0, 2, 'promptLookupMin'],
      [3, 2, 'promptLookupMax'],
      [1.5, 2, 'promptLookupMin'],
      [1, 17, 'promptLookupMax'],
    ] as const) {
      expect(refusal(() => validateEngineLimits(ngram(min, max), MODEL)).message).toContain(word)
    }
    validateEngineLimits(ngram(1, 16), { ...MODEL, drafter: false })
  })

  it('refuses an unknown policy', () => {
    const options = { ...engineOptions(), budgetPolicy: 'generous' } as unknown as EngineOptions
    expect(refusal(() => validateEngineLimits(options, MODEL)).message).toContain('budgetPolicy')
  })

  it('accepts the borders: B = S, a pool of one request', () => {
    validateEngineLimits(engineOptions({ maxNumBatchedTokens: 8, maxNumSeqs: 8 }), MODEL)
    validateEngineLimits(engineOptions({ maxModelLen: 241, kvCacheTokens: 256 }), MODEL)
    validateEngineLimits(
      engineOptions({ maxNumBatchedTokens: 1, maxNumSeqs: 1, maxModelLen: 2, kvCacheTokens: 16 }),
      MODEL,
    )
  })

  it('is what the scheduler itself relies on (42)', () => {
    const error = refusal(() => new Scheduler(engineOptions({ maxNumBatchedTokens: 7, maxNumSeqs: 8 })))
    expect(error.code).toBe('INVALID_OPTION')
  })
})

describe('request limits', () => {
  const options = engineOptions({ maxModelLen: 32, kvCacheTokens: 32 })
  const good: RequestLimits = {
    promptTokenIds: [1, 2, 3],
    maxTokens: 8,
    sampling: GREEDY,
    priority: 0,
    cacheSalt: undefined,
  }
  const bad: readonly [string, Partial<RequestLimits>, string][] = [
    ['no tokens', { promptTokenIds: [] }, 'no tokens'],
    ['a prompt that leaves no room', { promptTokenIds: new Array(32).fill(1) }, 'maxModelLen 32'],
    ['an id outside the vocabulary', { promptTokenIds: [1, 100] }, '100'],
    ['a negative id', { promptTokenIds: [-1] }, '-1'],
    ['a broken id', { promptTokenIds: [1.5] }, '1.5'],
    ['no new tokens', { maxTokens: 0 }, 'max_tokens'],
    ['a negative temperature', { sampling: { ...GREEDY, temperature: -0.1 } }, 'temperature'],
    ['an infinite temperature', { sampling: { ...GREEDY, temperature: Number.POSITIVE_INFINITY } }, 'temperature'],
    ['top_p 0', { sampling: { ...GREEDY, topP: 0 } }, 'top_p'],
    ['top_p above 1', { sampling: { ...GREEDY, topP: 1.01 } }, 'top_p'],
    ['min_p above 1', { sampling: { ...GREEDY, minP: 1.01 } }, 'min_p'],
    ['repetition_penalty 0', { sampling: { ...GREEDY, repetitionPenalty: 0 } }, 'repetition_penalty'],
    ['a large presence_penalty', { sampling: { ...GREEDY, presencePenalty: 2.1 } }, 'presence_penalty'],
    ['no frequency_penalty', { sampling: { ...GREEDY, frequencyPenalty: Number.NaN } }, 'frequency_penalty'],
    ['a bias outside the vocabulary', { sampling: { ...GREEDY, logitBias: [[100, 1]] } }, 'id 100'],
    ['a bias out of range', { sampling: { ...GREEDY, logitBias: [[1, -101]] } }, 'logit_bias of id 1'],
    [
      'an id with two biases',
      {
        sampling: {
          ...GREEDY,
          logitBias: [
            [1, 1],
            [1, 2],
          ],
        },
      },
      'twice',
    ],
    ['301 biases', { sampling: { ...GREEDY, logitBias: Array.from({ length: 301 }, () => [1, 1] as const) } }, '300'],
    ['a negative top_k', { sampling: { ...GREEDY, topK: -1 } }, 'top_k'],
    ['a seed past 2^53', { sampling: { ...GREEDY, seed: 2 ** 53 } }, 'seed'],
    ['a broken priority', { priority: 0.5 }, 'priority'],
    ['a priority out of range', { priority: -1001 }, '-1001'],
    ['a priority that nobody heeds', { priority: 1 }, 'schedulingPolicy'],
    ['an empty salt', { cacheSalt: '' }, 'cache_salt'],
    ['more drafts than the engine has', { maxDrafts: 5 }, 'num_speculative_tokens'],
    ['a broken number of drafts', { maxDrafts: 0.5 }, 'num_speculative_tokens'],
    ['a long salt', { cacheSalt: 'x'.repeat(129) }, '128'],
  ]
  it.each(bad)('refuses %s', (_name, changes, word) => {
    const error = refusal(() => validateRequest({ ...good, ...changes }, options, 100))
    expect(error.code).toBe<ErrorCode>('INVALID_REQUEST')
    expect(error.message).toContain(word)
    expect(error.fatal).toBe(false)
  })

  it('accepts a prompt that leaves room for one token, and caps the rest', () => {
    validateRequest({ ...good, promptTokenIds: new Array(31).fill(99), maxTokens: 1000 }, options, 100)
  })

  it('refuses as unservable what the pool can never hold, and only that (41)', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 60 }), (prompt, maxTokens) => {
        const pool = engineOptions({ maxModelLen: 200, kvCacheTokens: 64 })
        const check = () =>
          validateRequest({ ...good, promptTokenIds: new Array(prompt).fill(1), maxTokens }, pool, 100)
        if (servable(prompt + maxTokens, pool)) check()
        else expect(refusal(check).code).toBe('UNSERVABLE_REQUEST')
      }),
    )
  })
})
