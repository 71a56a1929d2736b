/** Every family and weight format on the processor, against the outputs of an independent float64 implementation. */

import { describe, expect, test } from 'vitest'
import { cdiv } from '../../src/util/math.ts'
import { GGUF_FIXTURES, PLAIN_FIXTURES, QUANTISED_FIXTURES } from '../helpers/folderFetch.ts'
import { checkLogits, loadGolden } from '../helpers/golden.ts'
import { checkGolden } from '../helpers/goldenRun.ts'
import { withEngine } from '../helpers/testEngine.ts'

describe.each([...PLAIN_FIXTURES, ...QUANTISED_FIXTURES, ...GGUF_FIXTURES])('%s', (name) => {
  const golden = loadGolden(name)
  // The longest prompt is past every window and original context.
  const longest = Math.max(...golden.cases.map((each) => each.prompt_ids.length + each.kv_exact.greedy_ids.length))
  const sizes = { maxModelLen: 16 * cdiv(longest + 1, 16), kvCacheTokens: 1024 }

  test('has the greedy ids of all prompts together, in chunks', async () => {
    await withEngine(name, { ...sizes, maxNumBatchedTokens: 37 }, async (engine) => {
      const { ids } = await checkGolden(engine, golden)
      expect(ids).toBeGreaterThan(golden.cases.length * 8)
    })
  })

  test('has the logits after each prompt', async () => {
    const debug = { logits: 'full', steps: false, trace: false } as const
    await withEngine(name, { ...sizes, debug, maxNumBatchedTokens: 256 }, async (engine) => {
      const ends = await engine.run(golden.cases.map((each) => ({ prompt: each.prompt_ids, maxTokens: 1 })))
      for (const [index, each] of golden.cases.entries()) {
        const row = ends[index]?.debug?.logits[0] as Float32Array
        checkLogits(row, each, 'kv_exact', golden.tolerance.kv_exact.logits)
      }
    })
  })
})
