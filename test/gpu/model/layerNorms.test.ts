/** What the golden records say of every layer, from the GPU's own program. */

import { describe, expect, test } from 'vitest'
import { cdiv } from '../../../src/util/math.ts'
import type { ModelName } from '../../helpers/folderFetch.ts'
import { loadGolden, recordKind } from '../../helpers/golden.ts'
import { withEngine } from '../../helpers/testEngine.ts'
import { traceForward } from '../../helpers/traceForward.ts'

describe.each<ModelName>(['qwen3-mtp', 'mimo', 'fairy-tales'])('%s', (model) => {
  const golden = loadGolden(model)
  const longest = Math.max(...golden.cases.map(({ prompt_ids }) => prompt_ids.length))
  const sizes = { maxModelLen: 16 * cdiv(longest + 1, 16), kvCacheTokens: 8192, maxNumBatchedTokens: 768 }

  test.each(['f16', 'f32'] as const)('KV %s: the norms of every layer and of the final row', async (kvCacheDtype) => {
    const kind = recordKind(kvCacheDtype)
    const { logits: tolerance } = golden.tolerance[kind]
    await withEngine(model, { ...sizes, kvCacheDtype }, async (engine) => {
      for (const each of golden.cases) {
        const { layer_output_l2, final_hidden_l2 } = each[kind]
        const { layers, final } = await traceForward(engine, each.prompt_ids)
        expect(layers).toHaveLength(layer_output_l2.length)
        layers.forEach((norm, layer) => {
          const expected = layer_output_l2[layer] ?? Number.NaN
          expect(Math.abs(norm - expected), `layer ${layer}`).toBeLessThan(tolerance * Math.max(1, expected))
        })
        expect(Math.abs(final - final_hidden_l2)).toBeLessThan(tolerance * Math.max(1, final_hidden_l2))
      }
    })
  })
})
