/** The budget on the real runner: what overruns is refused in that very step, by name and number, and a new load works. */

import { expect, test } from 'vitest'
import type { BudgetPolicy } from '../../../src/protocol/stepRecord.ts'
import { randomInts } from '../../helpers/kernelHarness.ts'
import { type TestEngine, withEngine } from '../../helpers/testEngine.ts'

/** One request decodes with 3 drafts while long prompts want every row. */
async function decodeBesidePrompts(engine: TestEngine): Promise<void> {
  engine.add({ prompt: [...randomInts(1, 8, 512)], maxTokens: 20 })
  for (let index = 0; index < 3; index++) engine.add({ prompt: [...randomInts(2 + index, 150, 512)], maxTokens: 4 })
  await engine.drain()
}

function open(budgetPolicy: BudgetPolicy, use: (engine: TestEngine) => Promise<void>): Promise<void> {
  const sizes = { maxNumBatchedTokens: 64, maxModelLen: 192, kvCacheTokens: 2048, drafts: 3 }
  return withEngine('qwen3-mtp', { ...sizes, budgetPolicy }, use)
}

// At most 512 rows the PR's floor makes its reserve the whole budget, so `reserve` must fail exactly like `uncharged`.
test.each<BudgetPolicy>(['uncharged', 'reserve'])(
  '%s overruns 64 rows and is refused by the buffers',
  async (policy) => {
    await open(policy, async (engine) => {
      const refusal = { code: 'BUDGET_EXCEEDED', details: { step: 2, rows: 67, limit: 64 } }
      await expect(decodeBesidePrompts(engine)).rejects.toMatchObject({
        ...refusal,
        message: expect.stringMatching(/67 token rows.*64.*maxNumBatchedTokens.*budgetPolicy/),
      })
      expect(engine.records).toHaveLength(1)
      expect([...engine.ends.values()].map((end) => end.error?.code)).toEqual(Array(4).fill('BUDGET_EXCEEDED'))
      expect(() => engine.add({ prompt: [1], maxTokens: 1 })).toThrow(expect.objectContaining(refusal))
    })
    await open('exact', async (engine) => {
      await decodeBesidePrompts(engine)
      const rows = engine.records.map((record) => record.baseRows + record.draftRows + record.prefillRows)
      expect(Math.max(...rows)).toBe(64)
      expect(rows.filter((each) => each === 64).length).toBeGreaterThanOrEqual(6)
    })
  },
)

test('a plan that says less than it holds is refused before anything is encoded', async () => {
  await open('exact', async (engine) => {
    const plan = {
      step: 1,
      rows: 1,
      sampledRows: 0,
      kvPassRows: 0,
      requests: [
        {
          requestId: 0,
          tableRow: 0,
          generation: 1,
          n: 65,
          k: 0,
          m: 0,
          samples: false,
          firstPosition: 0,
          ids: Array(65).fill(3),
          drafts: undefined,
          nextToken: 3,
          inKvPass: false,
          catchUpFrom: 0,
          catchUpTokens: [],
        },
      ],
      tableWrites: [],
      blockWrites: [],
    }
    await expect(engine.runner.submit(plan)).rejects.toMatchObject({
      code: 'BUDGET_EXCEEDED',
      details: { rows: 65, limit: 64 },
    })
    await decodeBesidePrompts(engine)
  })
})
