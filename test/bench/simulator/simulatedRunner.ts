/**
 * A StepRunner with a cost model for a device: a step advances the virtual clock and returns tokens that are a function of request
 * and position. Whether a draft is accepted also depends on these alone, so all policies see the same acceptance. Runs one step at
 * a time, so that the first position of a decoding request is exact. It must never know the scheduler.
 */

import type { RefusedStep } from '../../../src/chart/stepText.ts'
import { targetRows } from '../../../src/core/cost.ts'
import type { PlannedRequest, RequestOutput, StepOutput, StepPlan } from '../../../src/core/stepPlan.ts'
import type { StepRunner } from '../../../src/core/stepRunner.ts'
import { WeirError } from '../../../src/protocol/errors.ts'
import { type StepCost, stepMilliseconds } from './costModel.ts'
import { hash } from './random.ts'
import { VOCAB_SIZE } from './workload.ts'

/** What happens to a step with more rows than B: it runs, or it is refused with BUDGET_EXCEEDED as by real buffers. */
export type Overrun = 'run' | 'refuse'

export const OVERRUNS: readonly Overrun[] = ['run', 'refuse']

export interface DeviceModel {
  readonly cost: StepCost
  /** probability that a draft is accepted, given that those before it are */
  readonly acceptance: number
  readonly overrun: Overrun
}

/** Milliseconds of virtual time. */
export class VirtualClock {
  now = 0
}

export class SimulatedRunner implements StepRunner {
  /** the latest plan that ran */
  plan: StepPlan | undefined
  /** the refused step, if any */
  refused: RefusedStep | undefined
  readonly #device: DeviceModel
  /** B */
  readonly #limit: number
  readonly #seed: number
  readonly #clock: VirtualClock

  constructor(device: DeviceModel, limit: number, seed: number, clock: VirtualClock) {
    this.#device = device
    this.#limit = limit
    this.#seed = seed
    this.#clock = clock
  }

  async submit(plan: StepPlan): Promise<StepOutput> {
    const { cost, overrun } = this.#device
    const rows = targetRows(plan.requests)
    const limit = this.#limit
    if (overrun === 'refuse' && rows > limit) {
      const refused = { step: plan.step, rows, limit }
      this.refused = refused
      const message = `step ${plan.step}: ${rows} rows exceed maxNumBatchedTokens ${limit}`
      throw new WeirError('BUDGET_EXCEEDED', message, refused)
    }
    this.plan = plan
    const draftPasses = plan.requests.reduce((most, { m }) => Math.max(most, m), 0)
    const wait = stepMilliseconds(cost, rows, draftPasses, plan.kvPassRows)
    this.#clock.now += wait
    const requests = plan.requests.map((request) => this.#answer(request))
    return { step: plan.step, encodedRows: rows, requests, ms: { encode: 0, wait } }
  }

  #answer({ requestId, generation, n, k, m, samples, firstPosition }: PlannedRequest): RequestOutput {
    if (!samples) return { requestId, generation, accepted: 0, tokens: [], verified: [], proposed: [] }
    // The first position whose token is not committed: that of the first draft, if there are drafts.
    const first = firstPosition + n - k
    const verified = this.#drafts(requestId, first, k)
    const wrong = verified.findIndex((_, i) => !this.#isRight(requestId, first + i))
    const accepted = wrong < 0 ? k : wrong
    const tokens = Array.from({ length: accepted + 1 }, (_, i) => this.#token(requestId, first + i))
    const proposed = this.#drafts(requestId, first + accepted + 1, m)
    return { requestId, generation, accepted, tokens, verified, proposed }
  }

  #drafts(requestId: number, first: number, count: number): number[] {
    return Array.from({ length: count }, (_, i) => {
      const token = this.#token(requestId, first + i)
      return this.#isRight(requestId, first + i) ? token : (token + 1) % VOCAB_SIZE
    })
  }

  #token(requestId: number, position: number): number {
    return hash(this.#seed, requestId, position) % VOCAB_SIZE
  }

  #isRight(requestId: number, position: number): boolean {
    return hash(this.#seed, requestId, position, 1) < this.#device.acceptance * 2 ** 32
  }
}
