/**
 * Random engines and workloads for property tests, sized so that blocks run short and prompts are cut. Requests share prompt
 * beginnings, some as a later turn of one conversation, and differ in priority and salt; every scheduling option is drawn.
 */

import fc from 'fast-check'
import { BLOCK_SIZE, blocksNeeded, maxTotalTokens } from '../../src/core/cost.ts'
import type { RequestSpec } from '../../src/core/request.ts'
import type { SamplingParams } from '../../src/core/samplingParams.ts'
import type { EngineOptions } from '../../src/protocol/options.ts'
import { engineOptions, GREEDY, mtp, promptOf } from './coreFixtures.ts'
import { generateAlone } from './mockModel.ts'

export interface Arrival {
  /** steps before it arrives */
  readonly step: number
  readonly promptTokenIds: readonly number[]
  readonly maxTokens: number
  readonly sampling: SamplingParams
  /** 0 unless the engine schedules by it */
  readonly priority: number
  readonly cacheSalt: string | undefined
}

export interface Workload {
  readonly options: EngineOptions
  /** drafts that are right, in eighths */
  readonly rightInEight: number
  /** the index is the request's id */
  readonly arrivals: readonly Arrival[]
}

const sampling: fc.Arbitrary<SamplingParams> = fc.oneof(
  fc.constant(GREEDY),
  fc.nat(1000).map((seed) => ({ ...GREEDY, temperature: 1, seed })),
)

/** The beginning of one of three texts, at times up to a block's end, at times with what the model says after it; then its own. */
function prompts(maxLength: number): fc.Arbitrary<number[]> {
  const shared = fc.oneof(
    fc.constant(0),
    fc.nat(maxLength),
    fc.nat(Math.floor(maxLength / BLOCK_SIZE)).map((blocks) => blocks * BLOCK_SIZE),
  )
  return fc
    .record({
      text: fc.nat(2),
      shared,
      answer: fc.oneof(fc.constant(0), fc.nat(40)),
      own: fc.oneof(fc.nat(3), fc.nat(maxLength)),
      seed: fc.nat(900),
    })
    .map(({ text, shared, answer, own, seed }) => {
      const begin = promptOf(shared, 1000 + text)
      const prompt = [...begin, ...generateAlone(begin, answer, GREEDY), ...promptOf(own, seed)].slice(0, maxLength)
      return prompt.length > 0 ? prompt : promptOf(1, seed)
    })
}

export function arrivals(maxModelLen: number, priorities = false): fc.Arbitrary<Arrival[]> {
  const arrival = fc.record({
    step: fc.nat(25),
    promptTokenIds: prompts(maxModelLen - 1),
    maxTokens: fc.integer({ min: 1, max: 40 }),
    sampling,
    priority: priorities ? fc.integer({ min: -2, max: 3 }) : fc.constant(0),
    cacheSalt: fc.constantFrom(undefined, undefined, undefined, 'salt'),
  })
  return fc.array(arrival, { minLength: 1, maxLength: 10 })
}

/** Engine options that can serve requests of `maxModelLen`; the pool is between one such request and plenty. */
export function engines(maxModelLen: number): fc.Arbitrary<EngineOptions> {
  return fc
    .record({
      maxNumSeqs: fc.integer({ min: 1, max: 8 }),
      moreRows: fc.nat(60),
      moreBlocks: fc.nat(12),
      speculative: fc.option(fc.nat(4).map(mtp), { nil: undefined }),
      enablePrefixCaching: fc.constantFrom(true, true, true, false),
      longPrefillTokenThreshold: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 20 })),
      maxNumPartialPrefills: fc.constantFrom(0, 0, 1, 2),
      schedulingPolicy: fc.constantFrom('fcfs', 'priority'),
      priorityAgingTokens: fc.integer({ min: 1, max: 200 }),
      watermark: fc.constantFrom(0, 0, 0.05, 0.3),
    })
    .map(({ moreRows, moreBlocks, ...options }) =>
      engineOptions({
        ...options,
        maxNumBatchedTokens: options.maxNumSeqs + moreRows,
        maxModelLen,
        kvCacheTokens: (blocksNeeded(maxModelLen) + moreBlocks) * BLOCK_SIZE,
      }),
    )
}

export const workloads: fc.Arbitrary<Workload> = fc
  .integer({ min: 2, max: 100 })
  .chain(engines)
  .chain((options) =>
    fc.record({
      options: fc.constant(options),
      rightInEight: fc.nat(8),
      arrivals: arrivals(options.maxModelLen, options.schedulingPolicy === 'priority'),
    }),
  )

/** Request `id` of a workload, for a scheduler without an engine. */
export function specOf({ options, arrivals }: Workload, id: number): RequestSpec {
  const arrival = arrivals[id]
  if (!arrival) throw new Error(`no request ${id}`)
  const { promptTokenIds, maxTokens, sampling, priority, cacheSalt } = arrival
  const maxTotal = maxTotalTokens(promptTokenIds.length, maxTokens, options)
  return { id, promptTokenIds, maxTotal, sampling, priority, cacheSalt }
}

/** What request `id` of a workload says when it runs alone and to its end. */
export function expectedOutput(workload: Workload, id: number): number[] {
  const { promptTokenIds, maxTotal, sampling } = specOf(workload, id)
  return generateAlone(promptTokenIds, maxTotal - promptTokenIds.length, sampling)
}
