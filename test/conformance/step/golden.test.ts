/** The real model on every backend against an independent float64 implementation (test/golden). */

import { describe, expect, test } from 'vitest'
import { cdiv } from '../../../src/util/math.ts'
import type { ModelName } from '../../helpers/folderFetch.ts'
import { checkLogits, loadGolden, recordKind } from '../../helpers/golden.ts'
import { checkGolden } from '../../helpers/goldenRun.ts'
import { KV_DTYPES, WHOLE_MATRIX } from '../../helpers/testBackend.ts'
import { withEngine } from '../../helpers/testEngine.ts'

/** Drafts; undefined: no speculation. */
const DRAFTS = WHOLE_MATRIX ? [undefined, 0, 1, 2, 3, 4] : [undefined, 3]

describe.each<ModelName>(['qwen3-mtp', 'mimo', 'fairy-tales'])('%s', (model) => {
  const golden = loadGolden(model)
  const longest = Math.max(...golden.cases.map((each) => each.prompt_ids.length + each.kv_exact.greedy_ids.length))
  const sizes = { maxModelLen: 16 * cdiv(longest + 1, 16), kvCacheTokens: 8192, maxNumBatchedTokens: 128 }

  describe.each(KV_DTYPES)('KV %s', (kvCacheDtype) => {
    test.each(DRAFTS)('greedy ids, drafts and accepted counts at %s drafts', async (drafts) => {
      await withEngine(
        model,
        { ...sizes, kvCacheDtype, ...(drafts === undefined ? {} : { drafts }) },
        async (engine) => {
          const compared = await checkGolden(engine, golden)
          expect(compared.ids).toBeGreaterThan(golden.cases.length * 8)
          if (drafts) {
            expect(compared.drafts).toBeGreaterThan(golden.cases.length * drafts)
            expect(compared.accepted).toBeGreaterThan(golden.cases.length * 2)
          }
        },
      )
    })

    test('logits of the last row', async () => {
      const { logits: tolerance } = golden.tolerance[recordKind(kvCacheDtype)]
      const debug = { logits: 'full', steps: false, trace: false } as const
      await withEngine(model, { ...sizes, kvCacheDtype, debug, maxNumBatchedTokens: 768 }, async (engine) => {
        const ends = await engine.run(golden.cases.map((each) => ({ prompt: each.prompt_ids, maxTokens: 1 })))
        for (const [index, each] of golden.cases.entries()) {
          const row = ends[index]?.debug?.logits[0] as Float32Array
          checkLogits(row, each, recordKind(kvCacheDtype), tolerance)
        }
      })
    })
  })
})
