/**
 * Workloads like those of `workloads.ts`, but crowded: many long answers at once in a small pool, so that blocks run short and
 * requests with one prefix meet. For laws of the scheduler alone, whose outcomes need no model.
 */

import fc from 'fast-check'
import { BLOCK_SIZE, blocksNeeded } from '../../src/core/cost.ts'
import type { SchedulerOutput } from '../../src/core/schedule/schedulerOutput.ts'
import type { EngineOptions } from '../../src/protocol/engineOptions.ts'
import { engineOptions, GREEDY, mtp, promptOf } from './coreFixtures.ts'
import { SchedulerRig } from './schedulerRig.ts'
import { type Arrival, specOf, type Workload } from './workloads.ts'

const MAX_MODEL_LEN = 112
/** Steps in which requests arrive. */
const STEPS = 16

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
  .map(({ family, common, own, tail, ...rest }): Arrival => {
    const prefix = promptOf(common, 1000 + family)
    return { ...rest, promptTokenIds: [...prefix, ...promptOf(own, tail)] }
  })

export const crowdedWorkloads: fc.Arbitrary<Workload> = fc
  .record({ options: engine, rightInEight: fc.nat(8), arrivals: fc.array(arrival, { minLength: 6, maxLength: 12 }) })
  .map(({ options, arrivals, ...rest }) => {
    const heeded = options.schedulingPolicy === 'priority'
    return { ...rest, options, arrivals: arrivals.map((one) => (heeded ? one : { ...one, priority: 0 })) }
  })

/** Steps within which a workload is done, generously: each of P + 1 runs of each request costs at most its tokens. */
export function mostSteps({ arrivals }: Workload): number {
  return 4 * arrivals.reduce((sum, { promptTokenIds, maxTokens }) => sum + promptTokenIds.length + maxTokens, STEPS + 1)
}

/**
 * Plays a workload to its end on the scheduler alone, half as many of a request's drafts being right as the workload has in
 * eighths. `before` and `after` a step see the rig, the latter also what was scheduled.
 */
export function play(
  workload: Workload,
  after: (rig: SchedulerRig, output: SchedulerOutput) => void,
  before: (rig: SchedulerRig, step: number) => void = () => {},
): SchedulerRig {
  const { options, rightInEight, arrivals } = workload
  const rig = new SchedulerRig(options)
  const most = mostSteps(workload)
  for (let step = 0; step <= STEPS || rig.scheduler.hasUnfinished; step++) {
    if (step > most) throw new Error(`unfinished after ${most} steps`)
    for (const [id, arrival] of arrivals.entries()) if (arrival.step === step) rig.scheduler.add(specOf(workload, id))
    before(rig, step)
    if (!rig.scheduler.hasUnfinished) continue
    const output = rig.scheduler.schedule()
    after(rig, output)
    rig.settle(output, (k) => Math.min(k, rightInEight >> 1))
  }
  return rig
}
