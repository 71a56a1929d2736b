/**
 * Penalties and logit bias on the real model: what a request gets depends on its tokens alone, so that drafts, chunks, a cached
 * prefix or a preemption change neither its tokens nor the bits of its logits.
 */

import { describe, expect, test } from 'vitest'
import { GREEDY } from '../../../src/core/samplingParams.ts'
import { Scheduler } from '../../../src/core/schedule/scheduler.ts'
import type { StepOutput } from '../../../src/core/stepPlan.ts'
import { buildStepPlan } from '../../../src/core/stepPlanBuilder.ts'
import type { EngineRequestEnd } from '../../../src/engine/engineTypes.ts'
import { rowDigest } from '../../../src/host/sampling/digest.ts'
import { adjustedRow } from '../../helpers/hostSampling.ts'
import { randomInts } from '../../helpers/kernelHarness.ts'
import { DRAFT_COUNTS } from '../../helpers/testBackend.ts'
import { type EngineOverrides, type TestEngine, type TestRequest, withEngine } from '../../helpers/testEngine.ts'

const SIZES = { maxModelLen: 96, kvCacheTokens: 2048 }
const PROMPT = [...randomInts(7, 45, 512)]
const PENALTIES = { repetitionPenalty: 1.3, presencePenalty: 0.4, frequencyPenalty: 0.2 }
const BIAS = Array.from({ length: 300 }, (_, id) => [id, (id % 5) - 2] as const)

/** Greedy ones, sampled ones, and one among them that adjusts nothing. */
const SUBJECTS: readonly TestRequest[] = [
  { sampling: { repetitionPenalty: 1.5 } },
  { sampling: { ...PENALTIES, logitBias: BIAS } },
  { sampling: { temperature: 1, seed: 5 } },
  { sampling: { ...PENALTIES, temperature: 1, seed: 6 } },
  { sampling: { ...PENALTIES, temperature: 0.9, logitBias: BIAS, minP: 0.02, topK: 40, topP: 0.95, seed: 7 } },
].map((subject) => ({ ...subject, prompt: PROMPT, maxTokens: 30 }))

interface Answer {
  readonly ids: readonly number[]
  readonly logits: readonly unknown[]
}

function answer({ error, tokenIds, debug }: EngineRequestEnd): Answer {
  expect(error).toBeUndefined()
  return { ids: tokenIds, logits: debug?.logits ?? [] }
}

/** One after the other, in an engine without a drafter. */
let reference: Promise<Answer[]> | undefined
function expected(): Promise<Answer[]> {
  reference ??= withEngine('qwen3-mtp', { ...SIZES, enablePrefixCaching: false, maxNumBatchedTokens: 256 }, (engine) =>
    each(engine),
  )
  return reference
}

/** Every subject in its turn. */
async function each(engine: TestEngine, check: (end: EngineRequestEnd) => void = () => {}): Promise<Answer[]> {
  const answers: Answer[] = []
  for (const subject of SUBJECTS) {
    const [end] = await engine.run([subject])
    if (!end) throw new Error('no answer')
    check(end)
    answers.push(answer(end))
  }
  return answers
}

function open(overrides: EngineOverrides, use: (engine: TestEngine) => Promise<void>): Promise<void> {
  return withEngine('qwen3-mtp', { ...SIZES, ...overrides }, use)
}

describe.each(DRAFT_COUNTS)('%i drafts', (drafts) => {
  test('all together, their prompts in chunks', async () => {
    await open({ drafts, maxNumBatchedTokens: 24 }, async (engine) => {
      expect((await engine.run(SUBJECTS)).map(answer)).toEqual(await expected())
      const verified = engine.records.reduce((sum, { acceptedDrafts }) => sum + acceptedDrafts, 0)
      expect(verified > 0).toBe(drafts > 0)
    })
  })

  test('after a cached prefix', async () => {
    await open({ drafts, maxNumBatchedTokens: 32 }, async (engine) => {
      await engine.run([{ prompt: PROMPT, maxTokens: 1 }])
      const cached: number[] = []
      const answers = await each(engine, (end) => cached.push(end.usage.prompt_tokens_details.cached_tokens))
      expect(Math.min(...cached)).toBeGreaterThan(0)
      expect(answers).toEqual(await expected())
    })
  })

  test('preempted with output', async () => {
    // A pool for one of two that are alike.
    await open({ drafts, kvCacheTokens: 128, enablePrefixCaching: false }, async (engine) => {
      for (const [index, subject] of SUBJECTS.entries()) {
        const ends = await engine.run([subject, subject])
        const stops = ends.flatMap(({ debug }) => debug?.steps.filter((step) => step.preempted) ?? [])
        expect(Math.max(...stops.map(({ at }) => at))).toBeGreaterThan(PROMPT.length + 1)
        const one = (await expected())[index]
        expect(ends.map(answer)).toEqual([one, one])
      }
    })
  })
})

/** Runs requests with two steps in flight, as the engine does not yet. @returns their tokens */
async function pipelined({ options, runner }: TestEngine, requests: readonly TestRequest[]): Promise<number[][]> {
  const scheduler = new Scheduler(options)
  const added = requests.map(({ prompt, maxTokens, sampling }, id) =>
    scheduler.add({
      id,
      promptTokenIds: prompt,
      maxTotal: prompt.length + maxTokens,
      sampling: { ...GREEDY, ...sampling },
      priority: 0,
      cacheSalt: undefined,
    }),
  )
  const inFlight: Promise<StepOutput>[] = []
  while (scheduler.hasUnfinished) {
    const scheduled = scheduler.schedule()
    if (scheduled.requests.length > 0) inFlight.push(runner.submit(buildStepPlan(scheduled)))
    if (inFlight.length < 2 && scheduled.requests.length > 0) continue
    for (const { requestId, generation, accepted, tokens } of (await inFlight.shift())?.requests ?? []) {
      const running = scheduler.find(requestId, generation)
      if (!running) continue
      scheduler.settle(running, accepted, tokens)
      if (running.request.tokens.length >= running.request.maxTotal) scheduler.remove(requestId)
    }
  }
  await Promise.all(inFlight)
  return added.map(({ tokens, promptLength }) => tokens.slice(promptLength))
}

test.each([0, 3])(
  'two steps in flight, %i drafts: the counts on the device are those of what is committed',
  async (drafts) => {
    const sizes = { drafts, kvCacheTokens: 192, maxNumBatchedTokens: 32, enablePrefixCaching: false }
    await open(sizes, async (engine) => {
      expect(await pipelined(engine, SUBJECTS)).toEqual((await expected()).map(({ ids }) => ids))
    })
  },
)

test('the penalties change what is said, and another owner of a table row begins anew', async () => {
  const answers = await expected()
  expect(new Set(answers.map(({ ids }) => ids.join())).size).toBe(answers.length)
  await open({ drafts: 2, maxNumSeqs: 1 }, async (engine) => {
    expect(await each(engine)).toEqual(answers)
  })
})

test.each([undefined, 3])(
  'with %s drafts the answer reports raw logits, of which greedy takes the best adjusted one',
  async (drafts) => {
    const [greedy] = await expected()
    const debug = { logits: 'full', steps: false, trace: false } as const
    await open({ debug, ...(drafts === undefined ? {} : { drafts }) }, async (engine) => {
      const ends = await engine.run(SUBJECTS)
      const rows = (ends[0]?.debug?.logits ?? []) as Float32Array[]
      expect(rows.map(rowDigest)).toEqual(greedy?.logits)
      for (const [index, end] of ends.slice(0, 2).entries()) {
        const sampling = { ...SUBJECTS[index]?.sampling, prompt: PROMPT }
        end.tokenIds.forEach((id, i) => {
          const logits = end.debug?.logits[i] as Float32Array
          const output = end.tokenIds.slice(0, i)
          const row = adjustedRow({ logits, sampling: { ...sampling, output }, position: 0 }).logits
          expect(row[id], `token ${i}`).toBeGreaterThanOrEqual(Math.max(...row) - 1e-5)
        })
      }
    })
  },
)

test('an engine without memory for penalties plans none, and answers others as ever', async () => {
  const plain = SUBJECTS[2] as TestRequest
  await open({ drafts: 2, penalties: false }, async (engine) => {
    expect(() => engine.add(SUBJECTS[0] as TestRequest)).toThrow(
      expect.objectContaining({ code: 'INVALID_REQUEST', message: expect.stringContaining('penalties: true') }),
    )
    expect((await engine.run([plain])).map(answer)).toEqual([(await expected())[2]])
  })
})
