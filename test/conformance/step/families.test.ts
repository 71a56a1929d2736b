/**
 * Every family and every weight format on every backend, against the golden outputs of an independent float64 implementation: logits
 * of the last row, greedy ids, and no bit that depends on chunks or on the batch.
 */

import { describe, expect, test } from 'vitest'
import { GGUF_FIXTURES, type ModelName, PLAIN_FIXTURES, QUANTISED_FIXTURES } from '../../helpers/folderFetch.ts'
import { FULL } from '../../helpers/full.ts'
import { checkLogits, loadGolden, recordKind } from '../../helpers/golden.ts'
import { checkGolden } from '../../helpers/goldenRun.ts'
import { BACKEND, KV_DTYPES } from '../../helpers/testBackend.ts'
import { withEngine } from '../../helpers/testEngine.ts'

const ALL: readonly ModelName[] = [...PLAIN_FIXTURES, ...QUANTISED_FIXTURES, ...GGUF_FIXTURES]
/** On a software GPU a model takes seconds: what differs most, of families and of formats. */
const SLICE: readonly ModelName[] = ['gemma2', 'olmo2', 'phi3', 'qwen2-mlx-mixed', 'llama-gguf-q4_k_m']

describe.each(FULL || BACKEND === 'wasm' ? ALL : SLICE)('%s', (model) => {
  const golden = loadGolden(model)
  const sizes = { maxModelLen: 512, kvCacheTokens: 2048, maxNumSeqs: 8 }

  test.each(KV_DTYPES)('logits and greedy ids, KV %s', async (kvCacheDtype) => {
    const kind = recordKind(kvCacheDtype)
    const debug = { logits: 'full', steps: true, trace: false } as const
    await withEngine(model, { ...sizes, kvCacheDtype, debug, maxNumBatchedTokens: 256 }, async (engine) => {
      const ends = await engine.run(golden.cases.map((each) => ({ prompt: each.prompt_ids, maxTokens: 1 })))
      for (const [index, each] of golden.cases.entries()) {
        const row = ends[index]?.debug?.logits[0] as Float32Array
        checkLogits(row, each, kind, golden.tolerance[kind].logits)
      }
      const compared = await checkGolden(engine, golden)
      expect(compared.ids).toBeGreaterThan(golden.cases.length * 4)
    })
  })
})
