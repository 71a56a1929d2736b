import { describe, expect, it } from 'vitest'
import {
  type ComparisonLoader,
  captions,
  comparePolicies,
  fullSteps,
  POLICY_CASES,
  type PolicyRun,
  WORKLOAD,
} from '../../src/demo/policyComparison.ts'
import type { LoadOptions } from '../../src/protocol/options.ts'
import { connect, errorOf, WAYS } from '../helpers/connect.ts'
import { MISSING_URL, MockLoader } from '../helpers/scriptedModel.ts'
import { stepRecord } from '../helpers/stepRecords.ts'

/** The real engine and scheduler over a runner that refuses what does not fit. */
function engines(loads: LoadOptions[] = [], models = new MockLoader()): ComparisonLoader {
  return {
    load: async (url, options) => {
      loads.push(options)
      const [, inProcess] = WAYS[0] ?? []
      if (!inProcess) throw new Error('no way to connect in this process')
      return connect(inProcess(models), options, url.startsWith('http') ? url : undefined)
    },
  }
}

function rows(run: PolicyRun | undefined): number[] {
  return (run?.records ?? []).map((record) => record.baseRows + record.draftRows + record.prefillRows)
}

describe('comparison of the budget policies', () => {
  it('shows what the policies differ in', async () => {
    const seen: string[] = []
    const runs = await comparePolicies(engines(), 'model/', (run, index) => seen.push(`${index} ${run.policy}`))
    expect(seen).toEqual(['0 exact', '1 reserve', '2 uncharged', '3 reserve'])
    const [exact, reserve, uncharged, floored] = runs

    expect(exact?.refused).toBeUndefined()
    expect(exact && fullSteps(exact)).toEqual([576, 576, 576])
    expect(Math.max(...rows(exact))).toBe(576)

    expect(reserve?.refused).toBeUndefined()
    const unused = reserve ? fullSteps(reserve).map((used) => 576 - used) : []
    expect(unused.length).toBeGreaterThanOrEqual(3)
    for (const left of unused) {
      expect(left).toBeGreaterThanOrEqual(52)
      expect(left).toBeLessThanOrEqual(64)
    }

    expect(uncharged?.refused).toMatchObject({ code: 'BUDGET_EXCEEDED', step: 2, rows: 579, limit: 576 })
    expect(rows(uncharged)).toEqual([576])
    expect(floored?.refused).toMatchObject({ code: 'BUDGET_EXCEEDED', step: 2, rows: 259, limit: 256 })
    expect(rows(floored)).toEqual([256])

    const prompts = WORKLOAD.storyPromptTokens + WORKLOAD.prompts * WORKLOAD.promptTokens
    for (const run of [exact, reserve]) {
      expect(run?.records.reduce((sum, record) => sum + record.prefillRows, 0)).toBe(prompts)
    }
    const texts = captions(runs)
    expect(texts[0]).toContain('Fills the line in each of 3 full steps: 1808 prompt tokens')
    expect(texts[1]).toMatch(/^Leaves \d+ to 64 rows unused in each of 3 full steps/)
    expect(texts[2]).toContain('Stopped in step 2: 579 rows, 3 rows more than the buffers hold (BUDGET_EXCEEDED).')
    expect(texts[3]).toContain('Stopped in step 2: 259 rows, 3 rows more')
    expect(texts[3]).toContain('Exactly like uncharged')
  })

  it('asks for each case as written, one engine after another, and gives each back', async () => {
    const loads: LoadOptions[] = []
    const models = new MockLoader()
    await comparePolicies(engines(loads, models), 'model/')
    expect(loads.map(({ budgetPolicy, maxNumBatchedTokens }) => [budgetPolicy, maxNumBatchedTokens])).toEqual(
      POLICY_CASES.map(({ policy, maxNumBatchedTokens }) => [policy, maxNumBatchedTokens]),
    )
    for (const load of loads) {
      expect(load.maxNumSeqs).toBe(16)
      expect(load.speculative).toEqual({ method: 'mtp', numSpeculativeTokens: 3, adaptive: false })
    }
    expect(models.disposed).toBe(loads.length)
  })

  it('fails with what a load fails with', async () => {
    expect((await errorOf(comparePolicies(engines(), MISSING_URL))).code).toBe('MODEL_FETCH')
  })
})

describe('captions', () => {
  const run = {
    policy: 'exact',
    maxNumBatchedTokens: 64,
    limit: 64,
    maxNumSeqs: 4,
    drafts: 3,
    promptTokens: 60,
  } as const
  const step = (baseRows: number, prefillRows: number) =>
    stepRecord({ baseRows, prefillRows, running: 4, chargedRows: baseRows + prefillRows })

  it('are taken from the records, not from the policy', () => {
    const left = { ...run, records: [step(0, 60), step(1, 50), step(4, 3)] }
    expect(captions([left])).toEqual([
      'Leaves 4 to 13 rows unused in each of 2 full steps: 113 prompt tokens in 3 steps, at most 60 of 64 rows.',
    ])
    const same = { ...run, records: [step(0, 60), step(4, 3)] }
    expect(captions([same])[0]).toContain('Leaves 4 rows unused in its one full step')
    expect(captions([{ ...run, records: [step(4, 3)] }])[0]).toContain('No full step')
  })

  it('call a refusal like another only if it is', () => {
    const refused = { code: 'BUDGET_EXCEEDED', message: '', step: 2, rows: 67, limit: 64 }
    const records = [step(0, 64)]
    const uncharged = { ...run, policy: 'uncharged', records, refused } as const
    const reserve = { ...run, policy: 'reserve', records, refused } as const
    expect(captions([uncharged, reserve])[1]).toContain('Exactly like uncharged')
    expect(captions([uncharged, { ...reserve, refused: { ...refused, rows: 68 } }])[1]).not.toContain('like')
    expect(captions([uncharged, { ...reserve, refused: { ...refused, step: 3 } }])[1]).not.toContain('like')
    expect(captions([{ ...uncharged, refused: { ...refused, rows: 65 } }])[0]).toContain('65 rows, 1 row more')
  })
})
