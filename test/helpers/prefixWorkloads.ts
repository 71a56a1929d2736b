/**
 * Random workloads in which prompts share prefixes, requests differ in priority and salt, and every scheduling option is drawn:
 * for laws that must hold whatever the scheduler is asked to do.
 */

import fc from 'fast-check'
import { BLOCK_SIZE, blocksNeeded } from '../../src/core/cost.ts'
import type { SamplingParams } from '../../src/core/samplingParams.ts'
import type { SchedulerOutput } from '../../src/core/schedulerOutput.ts'
import type { EngineOptions } from '../../src/protocol/engineOptions.ts'
import { engineOptions, GREEDY, mtp, promptOf } from './coreFixtures.ts'
import { SchedulerRig } from './schedulerRig.ts'

const MAX_MODEL_LEN = 112
/** steps in which requests arrive */
export const STEPS = 16

export interface PrefixArrival {
  /** steps before it arrives */
  readonly step: number
  readonly promptTokenIds: readonly number[]
  readonly maxTokens: number
  /** heeded under `priority` alone */
  readonly priority: number
  readonly cacheSalt: string | undefined
  readonly sampling: SamplingParams
}

export interface PrefixWorkload {
  readonly options: EngineOptions
  /** accepted drafts of a request and step, at most */
  readonly right: number
  /** the index is the request's id */
  readonly arrivals: readonly PrefixArrival[]
}

const engine: fc.Arbitrary<EngineOptions> = fc
  .record({
    maxNumSeqs: fc.oneof(fc.constantFrom(4, 6), fc.integer({ min: 1, max: 6 })),
    moreRows: fc.oneof(fc.nat(8), fc.integer({ min: 16, max: 80 }), fc.integer({ min: 16, max: 80 })),
    moreBlocks: fc.oneof(fc.nat(2), fc.nat(2), fc.nat(12)),
    drafts: fc.option(fc.nat(4), { nil: undefined }),
    enablePrefixCaching: fc.oneof({ weight: 3, arbitrary: fc.constant(true) }, fc.constant(false)),
    schedulingPolicy: fc.constantFrom('fcfs', 'priority'),
    priorityAgingTokens: fc.integer({ min: 1, max: 200 }),
    maxNumPartialPrefills: fc.nat(3),
    longPrefillTokenThreshold: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 24 })),
    watermark: fc.constantFrom(0, 0, 0, 0.2),
  })
  .map(({ moreRows, moreBlocks, drafts, ...options }) =>
    engineOptions({
      ...options,
      maxNumBatchedTokens: options.maxNumSeqs + moreRows,
      maxModelLen: MAX_MODEL_LEN,
      kvCacheTokens: (blocksNeeded(MAX_MODEL_LEN) + moreBlocks) * BLOCK_SIZE,
      speculative: drafts === undefined ? undefined : mtp(drafts),
    }),
  )

/** One of two families; a prompt follows its family for a while and then goes its own way. */
const arrival = fc
  .record({
    step: fc.oneof(fc.nat(3), fc.nat(STEPS)),
    family: fc.nat(1),
    common: fc.oneof(fc.constant(0), fc.integer({ min: 17, max: 50 }), fc.integer({ min: 17, max: 80 })),
    own: fc.integer({ min: 1, max: 24 }),
    maxTokens: fc.oneof(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 20, max: 56 })),
    priority: fc.integer({ min: -2, max: 3 }),
    cacheSalt: fc.oneof({ weight: 5, arbitrary: fc.constant(undefined) }, fc.constant('salt')),
    sampling: fc.oneof(
      fc.constant(GREEDY),
      fc.nat(99).map((seed) => ({ ...GREEDY, temperature: 1, seed })),
    ),
    tail: fc.nat(3),
  })
  .map(({ family, common, own, tail, ...rest }): PrefixArrival => {
    const prefix = promptOf(common, 1000 + family)
    return { ...rest, promptTokenIds: [...prefix, ...promptOf(own, tail)] }
  })

export const prefixWorkloads: fc.Arbitrary<PrefixWorkload> = fc.record({
  options: engine,
  right: fc.nat(4),
  arrivals: fc.array(arrival, { minLength: 6, maxLength: 12 }),
})

/** Steps within which a workload is done, generously: each of P + 1 runs of each request costs at most its tokens. */
export function mostSteps({ arrivals }: PrefixWorkload): number {
  return 4 * arrivals.reduce((sum, { promptTokenIds, maxTokens }) => sum + promptTokenIds.length + maxTokens, STEPS + 1)
}

/** Plays a workload to its end. `before` and `after` a step see the rig, the latter also what was scheduled. */
export function play(
  workload: PrefixWorkload,
  after: (rig: SchedulerRig, output: SchedulerOutput) => void,
  before: (rig: SchedulerRig, step: number) => void = () => {},
): SchedulerRig {
  const { options, right, arrivals } = workload
  const rig = new SchedulerRig(options)
  const most = mostSteps(workload)
  for (let step = 0; step <= STEPS || rig.scheduler.hasUnfinished; step++) {
    if (step > most) throw new Error(`unfinished after ${most} steps`)
    for (const [id, { promptTokenIds, maxTokens, ...rest }] of arrivals.entries()) {
      if (rest.step !== step) continue
      const { priority, cacheSalt, sampling } = rest
      rig.add(id, promptTokenIds.length, maxTokens, { promptTokenIds, priority, cacheSalt, sampling })
    }
    before(rig, step)
    if (!rig.scheduler.hasUnfinished) continue
    const output = rig.scheduler.schedule()
    after(rig, output)
    rig.settle(output, (k) => Math.min(k, right))
  }
  return rig
}
