/** Options as an engine gets them: completed for a model, and checked against it. */

import { describe, expect, it } from 'vitest'
import { resolveOptions } from '../../src/worker/engineOptions.ts'
import { GPU_DEFAULTS } from '../helpers/backendDefaults.ts'

describe('engine options', () => {
  const model = { drafter: true, maxPositions: 512 }

  it('have defaults that fit the model and the backend', () => {
    expect(resolveOptions({}, model, GPU_DEFAULTS)).toEqual({
      maxNumBatchedTokens: 256,
      maxNumSeqs: 16,
      maxModelLen: 512,
      kvCacheTokens: 8192,
      speculative: undefined,
      budgetPolicy: 'exact',
      kvCacheDtype: 'f16',
      enablePrefixCaching: true,
      longPrefillTokenThreshold: 0,
      maxNumPartialPrefills: 0,
      schedulingPolicy: 'fcfs',
      priorityAgingTokens: 8192,
      watermark: 0.01,
      penalties: true,
      debug: { logits: 'off', steps: false, trace: false },
    })
    expect(resolveOptions({}, { ...model, maxPositions: 32_768 }, GPU_DEFAULTS).maxModelLen).toBe(1024)
    const wasm = { maxNumBatchedTokens: 64, kvCacheDtype: 'f32' } as const
    expect(resolveOptions({}, model, wasm)).toMatchObject(wasm)
    expect(resolveOptions({ kvCacheTokens: 1039 }, model, GPU_DEFAULTS).kvCacheTokens).toBe(1024)
  })

  it('are what was given, where it was given', () => {
    const given = {
      longPrefillTokenThreshold: 32,
      maxNumPartialPrefills: 2,
      schedulingPolicy: 'priority',
      priorityAgingTokens: 100,
      watermark: 0,
      penalties: false,
      debug: { trace: true },
    } as const
    const debug = { logits: 'off', steps: false, trace: true }
    expect(resolveOptions(given, model, GPU_DEFAULTS)).toMatchObject({ ...given, debug })
  })

  it.each([
    [{ maxNumBatchedTokens: 8 }, /maxNumBatchedTokens 8.*maxNumSeqs 16/],
    [{ maxNumSeqs: 257 }, /maxNumBatchedTokens 256.*maxNumSeqs 257/],
    [{ maxModelLen: 513 }, /maxModelLen 513.*512 positions/],
    [{ maxModelLen: 1 }, /maxModelLen.*from 2 to 4194303/],
    [{ kvCacheTokens: 511 }, /kvCacheTokens 496.*maxModelLen 512/],
    [{ kvCacheTokens: 15 }, /kvCacheTokens 15.*block size 16/],
  ] as const)('refuse %j', (given, message) => {
    expect(() => resolveOptions(given, model, GPU_DEFAULTS)).toThrow(message)
  })

  it('refuse drafts of a model without a drafter', () => {
    const speculative = { method: 'mtp', numSpeculativeTokens: 2 } as const
    expect(() => resolveOptions({ speculative }, { ...model, drafter: false }, GPU_DEFAULTS)).toThrow(
      /speculative.*no MTP head/,
    )
    expect(resolveOptions({ speculative }, model, GPU_DEFAULTS).speculative).toEqual({ ...speculative, adaptive: true })
  })

  it("complete n-grams, and refuse their fields for a model's own drafter", () => {
    const ngram = { method: 'ngram', numSpeculativeTokens: 3 } as const
    const resolved = (more: object) =>
      resolveOptions({ speculative: { ...ngram, ...more } }, model, GPU_DEFAULTS).speculative
    expect(resolved({})).toEqual({ ...ngram, adaptive: true, promptLookupMin: 2, promptLookupMax: 4 })
    expect(resolved({ promptLookupMax: 1 })).toMatchObject({ promptLookupMin: 1, promptLookupMax: 1 })
    expect(resolved({ promptLookupMin: 6 })).toMatchObject({ promptLookupMin: 6, promptLookupMax: 6 })
    expect(() => resolved({ method: 'mtp', promptLookupMin: 2 })).toThrow(/promptLookupMin belongs to method 'ngram'/)
    expect(() => resolved({ draftVocabSize: 100 })).toThrow(/draftVocabSize belongs to method 'mtp'/)
    expect(() => resolved({ draftVocabFile: 'ids.json' })).toThrow(/draftVocabFile belongs to method 'mtp'/)
  })
})
