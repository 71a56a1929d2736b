/** Records each request's timeline, in virtual time, from the engine's hooks. It must never know how steps are scheduled. */

import { BLOCK_SIZE, maxTotalTokens } from '../../../src/core/cost.ts'
import type { EngineHooks, EngineRequestEnd } from '../../../src/engine/engineTypes.ts'
import type { EngineOptions } from '../../../src/protocol/engineOptions.ts'
import type { StepRecord } from '../../../src/protocol/stepRecord.ts'
import { type Demand, lacksRows } from './saturation.ts'
import type { SimulatedRunner, VirtualClock } from './simulatedRunner.ts'
import type { ArrivingRequest } from './workload.ts'

/** The events of one request. Times are milliseconds of the virtual clock. */
export interface RequestTimeline {
  readonly arrivedAt: number
  firstTokenAt: number | undefined
  lastTokenAt: number
  /** inter-token latencies: one per token after the first step's; tokens of one step share its time equally */
  readonly gaps: number[]
  preemptions: number
  finished: boolean
}

interface ObservedRequest {
  readonly timeline: RequestTimeline
  /** state before the current step */
  readonly demand: Demand
  /** tokens that the current step committed */
  newTokens: number
}

export class Observer implements EngineHooks {
  readonly records: StepRecord[] = []
  /** numbers of the saturated steps: those in which a request lacked rows */
  readonly saturated = new Set<number>()
  readonly timelines: RequestTimeline[] = []
  readonly #options: EngineOptions
  readonly #runner: SimulatedRunner
  readonly #clock: VirtualClock
  /** unfinished requests by id */
  readonly #requests = new Map<number, ObservedRequest>()
  readonly #ended: number[] = []

  constructor(options: EngineOptions, runner: SimulatedRunner, clock: VirtualClock) {
    this.#options = options
    this.#runner = runner
    this.#clock = clock
  }

  arrived({ id, arrivesAt, promptTokenIds, maxTokens }: ArrivingRequest): void {
    const known = promptTokenIds.length
    const timeline: RequestTimeline = {
      arrivedAt: arrivesAt,
      firstTokenAt: undefined,
      lastTokenAt: arrivesAt,
      gaps: [],
      preemptions: 0,
      finished: false,
    }
    this.timelines.push(timeline)
    const opening = promptTokenIds.slice(0, BLOCK_SIZE).join()
    const demand = { opening, known, maxTotal: maxTotalTokens(known, maxTokens, this.#options), drafts: 0 }
    this.#requests.set(id, { timeline, demand, newTokens: 0 })
  }

  onTokens(id: number, ids: readonly number[]): undefined {
    const request = this.#requests.get(id)
    if (!request) return
    const { timeline } = request
    const { now } = this.#clock
    if (timeline.firstTokenAt === undefined) timeline.firstTokenAt = now
    else timeline.gaps.push(...ids.map(() => (now - timeline.lastTokenAt) / ids.length))
    timeline.lastTokenAt = now
    request.newTokens = ids.length
  }

  onFinish({ requestId, reason, debug }: EngineRequestEnd): void {
    const request = this.#requests.get(requestId)
    if (!request) return
    request.timeline.finished = reason === 'length'
    request.timeline.preemptions = debug?.steps.filter(({ preempted }) => preempted).length ?? 0
    this.#ended.push(requestId)
  }

  onStep(record: StepRecord): void {
    const { plan } = this.#runner
    if (!plan) return
    this.records.push(record)
    const demands = new Map([...this.#requests].map(([id, { demand }]) => [id, demand]))
    if (lacksRows(plan, record, demands, this.#options)) this.saturated.add(record.step)
    for (const { requestId, m } of plan.requests) {
      const request = this.#requests.get(requestId)
      if (!request) continue
      request.demand.known += request.newTokens
      request.demand.drafts = m
      request.newTokens = 0
    }
    for (const id of this.#ended.splice(0)) this.#requests.delete(id)
  }
}
