/**
 * Counterparts of vLLM's tests of accepted drafts and their statistics, with their numbers: a runner that answers as it is told,
 * so that what the engine makes of an answer is all there is to see.
 */

import { describe, expect, it } from 'vitest'
import type { RequestOutput, StepOutput, StepPlan } from '../../../src/core/stepPlan.ts'
import { EngineCore } from '../../../src/engine/engineCore.ts'
import type { EngineRequestEnd } from '../../../src/engine/engineTypes.ts'
import type { StepRecord } from '../../../src/protocol/stepRecord.ts'
import { sum } from '../../../src/util/math.ts'
import { engineOptions, mtp, newRequest } from '../../helpers/coreFixtures.ts'

/** What comes of one request: its drafts, and the tokens sampled at its rows up to the first that differs, or the bonus. */
interface Verdict {
  readonly drafts: readonly number[]
  readonly tokens: readonly number[]
}

const FIRST = 90

/** An engine whose requests, each after a prompt of one token, get these answers in the second step. */
class AnsweredEngine {
  readonly engine: EngineCore
  readonly plans: StepPlan[] = []
  readonly records: StepRecord[] = []
  readonly ends = new Map<number, EngineRequestEnd>()
  readonly streamed = new Map<number, number[]>()

  constructor(verdicts: readonly Verdict[]) {
    const numSpeculativeTokens = Math.max(1, ...verdicts.map(({ drafts }) => drafts.length))
    const options = engineOptions({ speculative: mtp(numSpeculativeTokens) })
    const answer = ({ requestId, generation, n, k, m, ids }: StepPlan['requests'][number]): RequestOutput => {
      const { drafts = [], tokens = [] } = verdicts[requestId] ?? {}
      if (this.plans.length > 2)
        return { requestId, generation, accepted: 0, tokens: [FIRST], verified: [], proposed: [] }
      if (ids)
        return { requestId, generation, accepted: 0, tokens: [FIRST], verified: [], proposed: drafts.slice(0, m) }
      expect([n, k]).toEqual([1 + drafts.length, drafts.length])
      return { requestId, generation, accepted: tokens.length - 1, tokens, verified: drafts, proposed: [] }
    }
    this.engine = new EngineCore({
      options,
      runner: {
        submit: async (plan: StepPlan): Promise<StepOutput> => {
          this.plans.push(plan)
          return {
            step: plan.step,
            encodedRows: plan.rows,
            requests: plan.requests.map(answer),
            ms: { encode: 0, wait: 0 },
          }
        },
      },
      vocabSize: 100,
      now: () => 0,
      hooks: {
        onTokens: (id, ids) => {
          this.streamed.set(id, [...(this.streamed.get(id) ?? []), ...ids])
          return undefined
        },
        onFinish: (end) => this.ends.set(end.requestId, end),
        onStep: (record) => this.records.push(record),
      },
    })
    // Two tokens beyond the drafts: that one sampled first, and the bonus. So each proposes just its drafts.
    for (const [id, { drafts }] of verdicts.entries()) {
      this.engine.add(newRequest(id, 1, drafts.length + 2, { promptTokenIds: [id] }))
    }
  }

  async twoSteps(): Promise<void> {
    await this.engine.step()
    await this.engine.step()
    this.engine.checkIntegrity()
  }
}

interface SpeculationCase {
  readonly name: string
  readonly drafts: readonly (readonly number[])[]
  readonly outputs: readonly (readonly number[])[]
  /** requests that verified drafts, drafts verified, drafts accepted, and these by position */
  readonly expected: readonly [number, number, number, readonly number[]]
}

const STATS: readonly SpeculationCase[] = [
  { name: 'all right', drafts: [[1, 2, 3]], outputs: [[1, 2, 3, 4]], expected: [1, 3, 3, [1, 1, 1]] },
  { name: 'wrong from the second', drafts: [[1, 2, 3]], outputs: [[1, 5]], expected: [1, 3, 1, [1, 0, 0]] },
  {
    name: 'two lengths',
    drafts: [[1, 2], [3]],
    outputs: [
      [1, 2, 5],
      [3, 4],
    ],
    expected: [2, 3, 3, [2, 1]],
  },
  { name: 'one draft', drafts: [[1]], outputs: [[1, 2]], expected: [1, 1, 1, [1]] },
  { name: 'no drafts', drafts: [[]], outputs: [[5]], expected: [0, 0, 0, [0]] },
  {
    name: 'several wrong',
    drafts: [
      [1, 2, 3],
      [4, 5, 6],
    ],
    outputs: [
      [1, 2, 7],
      [4, 8],
    ],
    expected: [2, 6, 3, [2, 1, 0]],
  },
]

describe('statistics', () => {
  it.each(STATS)('of drafts: $name (25) [test_schedule_spec_decoding_stats]', async ({ drafts, outputs, expected }) => {
    const run = new AnsweredEngine(drafts.map((some, id) => ({ drafts: some, tokens: outputs[id] ?? [] })))
    await run.twoSteps()
    const [requests, verified, accepted, byPosition] = expected
    const { speculation } = run.engine.stats()
    expect(speculation.verified[0]).toBe(requests)
    expect(sum(speculation.verified)).toBe(verified)
    expect(speculation.accepted).toEqual(byPosition)
    expect(speculation.meanAcceptedLength).toBe(requests === 0 ? 0 : 1 + accepted / requests)
    expect(run.records[1]).toMatchObject({
      baseRows: drafts.length,
      draftRows: verified,
      acceptedDrafts: accepted,
      rejectedDrafts: verified - accepted,
      committedTokens: accepted + drafts.length,
    })
    for (const [id, output] of outputs.entries()) expect(run.streamed.get(id)).toEqual([FIRST, ...output])
  })

  it('do not count below zero for a request that went away in flight [test_spec_decoding_stats_empty_output] (26)', async () => {
    const run = new AnsweredEngine([{ drafts: [1, 2, 3], tokens: [1, 2, 3, 4] }])
    await run.engine.step()
    const step = run.engine.step()
    run.engine.abort(0)
    await step
    expect(run.ends.get(0)).toMatchObject({ reason: 'abort', tokenIds: [FIRST] })
    expect(run.records[1]).toMatchObject({ draftRows: 3, acceptedDrafts: 3, rejectedDrafts: 0, committedTokens: 0 })
    expect(run.streamed.get(0)).toEqual([FIRST])
  })
})

describe('an accepted run', () => {
  const VERDICTS: readonly [string, Verdict][] = [
    ['test_perfect_match', { drafts: [1, 2, 3], tokens: [1, 2, 3, 4] }],
    ['test_early_mismatch', { drafts: [1, 2, 3], tokens: [1, 5] }],
    ['test_multiple_mismatches', { drafts: [1, 2, 3], tokens: [1, 2, 5] }],
    ['test_empty_sequence', { drafts: [], tokens: [5] }],
  ]
  it.each(VERDICTS)(
    'is committed with the token after it, and the next row is at its end (24) [%s]',
    async (_name, verdict) => {
      const { drafts, tokens } = verdict
      const run = new AnsweredEngine([verdict])
      await run.twoSteps()
      expect(run.streamed.get(0)).toEqual([FIRST, ...tokens])
      const complete = tokens.length === drafts.length + 1
      expect(run.ends.has(0)).toBe(complete)
      if (complete) return
      // A prompt token, the first one, and those kept: all but the last are computed.
      await run.engine.step()
      expect(run.plans[2]?.requests[0]?.firstPosition).toBe(2 + tokens.length - 1)
    },
  )

  it('is said in the usage, with what was not accepted', async () => {
    const run = new AnsweredEngine([{ drafts: [1, 2, 3], tokens: [1, 5] }])
    await run.twoSteps()
    run.engine.abort(0)
    expect(run.ends.get(0)?.usage).toMatchObject({
      completion_tokens: 3,
      completion_tokens_details: { accepted_prediction_tokens: 1, rejected_prediction_tokens: 2 },
    })
  })
})
