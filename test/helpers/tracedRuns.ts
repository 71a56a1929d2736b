/**
 * Random runs of a traced engine with all that may happen to one: requests that share prompts, priorities, salts and aborts,
 * before a step, while it is in flight and within its update; texts that end early, logits that are not finite, refused plans;
 * drafts of a fixed number or of one chosen by times, from the device or from the text.
 */

import fc from 'fast-check'
import { BLOCK_SIZE, blocksNeeded } from '../../src/core/cost.ts'
import type { EngineCore } from '../../src/engine/engineCore.ts'
import type { TokenEnd } from '../../src/engine/stopChecker.ts'
import type { EngineOptions, SpeculativeOptions } from '../../src/protocol/engineOptions.ts'
import { WeirError } from '../../src/protocol/errors.ts'
import { BUDGET_POLICIES } from '../../src/protocol/stepRecord.ts'
import { EngineRig, engineOptions, GREEDY, newRequest, promptOf } from './coreFixtures.ts'
import type { MockRunnerOptions } from './mockRunner.ts'
import { engines } from './workloads.ts'

/** Moments of a step at which somebody may call the engine. */
const MOMENTS = ['before', 'inFlight', 'onTokens'] as const
type Moment = (typeof MOMENTS)[number]

/** Every third id: runs of drafts end within them. */
const STOP_IDS = Array.from({ length: 330 }, (_, i) => i * 3)

type Call =
  | { readonly kind: 'add'; readonly family: number; readonly request: Parameters<typeof newRequest> }
  | { readonly kind: 'abort'; readonly id: number }
  | { readonly kind: 'reset' }

export interface TracedRun {
  readonly options: EngineOptions
  readonly rightInEight: number
  readonly calls: readonly { readonly step: number; readonly moment: Moment; readonly call: Call }[]
  /** the text of an odd request ends before a token divisible by it; 0: never */
  readonly textEnd: number
  readonly notFinite: ReadonlySet<number>
}

/** Steps of which every third is timed on the GPU. More drafts are worth it, or not, by how many are right. */
const ms: NonNullable<MockRunnerOptions['ms']> = ({ step, rows, requests }) => {
  const draft = 0.75 * Math.max(0, ...requests.map(({ m }) => m))
  const wait = 10 + 0.125 * rows + draft
  return step % 3 === 0 ? { encode: 0.5, wait, gpu: wait - 0.25, draft } : { encode: 0.5, wait }
}

function tracedOptions(maxModelLen: number): fc.Arbitrary<EngineOptions> {
  const scheduling = fc.record({
    budgetPolicy: fc.constantFrom(...BUDGET_POLICIES),
    schedulingPolicy: fc.constantFrom('fcfs', 'priority'),
    priorityAgingTokens: fc.integer({ min: 1, max: 200 }),
    enablePrefixCaching: fc.oneof(
      { weight: 3, arbitrary: fc.constant(true) },
      { weight: 1, arbitrary: fc.constant(false) },
    ),
    maxNumPartialPrefills: fc.nat(3),
    drafting: fc.constantFrom('fixed', 'fixed', 'fixed', 'chosen', 'ngram', 'chosen ngram'),
    watermark: fc.constantFrom(0, 0.01, 0.3),
    // Blocks that one request may need, and few more.
    kvCacheTokens: fc.nat(3).map((more) => (blocksNeeded(maxModelLen) + more) * BLOCK_SIZE),
  })
  const debug = { logits: 'off', steps: false, trace: true } as const
  return fc.tuple(engines(maxModelLen), scheduling).map(([engine, { drafting, ...scheduled }]) => {
    // Few rows where a policy miscounts them, so that many a plan is refused.
    const few = scheduled.budgetPolicy === 'exact' ? 80 : 8
    const maxNumBatchedTokens = Math.min(engine.maxNumBatchedTokens, engine.maxNumSeqs + few)
    const speculative = engine.speculative && drafts(engine.speculative.numSpeculativeTokens, drafting)
    return engineOptions({ ...engine, ...scheduled, speculative, maxNumBatchedTokens, debug })
  })
}

function drafts(numSpeculativeTokens: number, drafting: string): SpeculativeOptions {
  const common = { numSpeculativeTokens, adaptive: drafting.startsWith('chosen') }
  if (!drafting.endsWith('ngram')) return { method: 'mtp', ...common }
  return { method: 'ngram', ...common, promptLookupMin: 1, promptLookupMax: 3 }
}

function calls(maxModelLen: number, priorities: boolean): fc.Arbitrary<TracedRun['calls']> {
  const request = fc
    .record({
      id: fc.nat(11),
      promptLength: fc.integer({ min: 1, max: maxModelLen - 1 }),
      maxTokens: fc.integer({ min: 1, max: 40 }),
      seed: fc.option(fc.nat(1000), { nil: undefined }),
      priority: priorities ? fc.integer({ min: -3, max: 3 }) : fc.constant(0),
      cacheSalt: fc.constantFrom(undefined, undefined, 'one', 'two \ud800"\n'),
      stopTokenIds: fc.constantFrom([], STOP_IDS),
    })
    .map(({ id, promptLength, maxTokens, seed, ...rest }): Parameters<typeof newRequest> => {
      const sampling = seed === undefined ? GREEDY : { ...GREEDY, temperature: 0.7, topP: 0.95, seed, sampleIndex: 1 }
      return [id, promptLength, maxTokens, { sampling, ...rest }]
    })
  const add = fc.record({ kind: fc.constant('add' as const), family: fc.nat(2), request })
  const call: fc.Arbitrary<Call> = fc.oneof(
    { weight: 6, arbitrary: add },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('abort' as const), id: fc.nat(11) }) },
    { weight: 1, arbitrary: fc.constant({ kind: 'reset' as const }) },
  )
  return fc.array(fc.record({ step: fc.nat(12), moment: fc.constantFrom(...MOMENTS), call }), {
    minLength: 2,
    maxLength: 24,
  })
}

export const tracedRuns: fc.Arbitrary<TracedRun> = fc
  .integer({ min: 2, max: 100 })
  .chain((maxModelLen) => tracedOptions(maxModelLen))
  .chain((options) =>
    fc.record({
      options: fc.constant(options),
      rightInEight: fc.nat(8),
      calls: calls(options.maxModelLen, options.schedulingPolicy === 'priority'),
      textEnd: fc.constantFrom(0, 0, 7, 40),
      notFinite: fc.array(fc.nat(30), { maxLength: 2 }).map((ids) => new Set(ids)),
    }),
  )

export interface TracedEnd {
  readonly rig: EngineRig
  readonly trace: string
  /** with which the engine ended, if it did */
  readonly fatal: WeirError | undefined
}

/** Runs until all is done or the engine has ended. */
export async function runTraced({ options, rightInEight, calls, textEnd, notFinite }: TracedRun): Promise<TracedEnd> {
  let step = 0
  const act = (moment: Moment): void => {
    for (const { call, ...when } of calls) if (when.step === step && when.moment === moment) perform(rig.engine, call)
  }
  const onTokens = (id: number, ids: readonly number[]): TokenEnd | undefined => {
    act('onTokens')
    const keep = textEnd === 0 || id % 2 === 0 ? -1 : ids.findIndex((token) => token % textEnd === 0)
    return keep < 0 ? undefined : { keep, reason: 'stop' }
  }
  const rig = new EngineRig(options, { rightInEight, ms, notFinite, beforeSettle: () => act('inFlight') }, { onTokens })
  let fatal: WeirError | undefined
  for (; (step <= 12 || rig.engine.hasWork()) && !fatal; step++) {
    if (step > 3000) throw new Error('unfinished after 3000 steps')
    act('before')
    try {
      await rig.engine.step()
      rig.engine.checkIntegrity()
    } catch (thrown) {
      fatal = WeirError.from(thrown)
      if (fatal.code !== 'BUDGET_EXCEEDED') throw thrown
    }
  }
  return { rig, trace: rig.engine.trace(), fatal }
}

/** An id in use is refused, and recorded nowhere. */
function perform(engine: EngineCore, call: Call): void {
  if (call.kind === 'reset') engine.resetPrefixCache()
  if (call.kind === 'abort') engine.abort(call.id)
  if (call.kind !== 'add') return
  const [id, promptLength, maxTokens, changes] = call.request
  try {
    engine.add(
      newRequest(id, promptLength, maxTokens, { ...changes, promptTokenIds: promptOf(promptLength, call.family) }),
    )
  } catch (thrown) {
    if (WeirError.from(thrown).code !== 'INVALID_REQUEST') throw thrown
  }
}
