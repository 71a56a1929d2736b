/**
 * Every unfinished request of a blast in scheduling order, and the laws of that order: who waits and who runs, how often
 * one is overtaken, and that everybody ends in bounded time.
 */

import type { RequestSpec } from '../../src/core/request.ts'
import type { Scheduler } from '../../src/core/schedule/scheduler.ts'
import type { SchedulerOutput } from '../../src/core/schedule/schedulerOutput.ts'
import { MAX_PREEMPTIONS } from '../../src/core/schedule/victim.ts'
import { assert } from '../../src/util/math.ts'
import type { BlastCoverage } from './blastCoverage.ts'
import type { BlastStop } from './blastPrompts.ts'
import { BlastRequest, compareBlasts } from './blastRequest.ts'
import type { BlastSetup } from './blastSetup.ts'

/** Requests that pass one that does not fit, in its whole life. */
const MOST_OVERTAKES = 8

export class BlastRoster {
  readonly #setup: BlastSetup
  readonly #coverage: BlastCoverage
  /** in scheduling order */
  readonly #requests: BlastRequest[] = []
  readonly #byId = new Map<number, BlastRequest>()
  /** rows run so far */
  #clock = 0
  #arrivals = 0

  constructor(setup: BlastSetup, coverage: BlastCoverage) {
    this.#setup = setup
    this.#coverage = coverage
  }

  get all(): readonly BlastRequest[] {
    return this.#requests
  }

  get running(): BlastRequest[] {
    return this.#requests.filter(({ spell }) => spell)
  }

  get waiting(): BlastRequest[] {
    return this.#requests.filter(({ spell }) => !spell)
  }

  find(id: number): BlastRequest | undefined {
    return this.#byId.get(id)
  }

  get(id: number): BlastRequest {
    const request = this.find(id)
    assert(request, `request ${id} is unfinished`)
    return request
  }

  add(spec: RequestSpec, stop: BlastStop | undefined): void {
    const { schedulingPolicy, priorityAgingTokens } = this.#setup.options
    const priority = schedulingPolicy === 'priority' ? spec.priority : 0
    const place = [this.#clock + priority * priorityAgingTokens, this.#arrivals++] as const
    const request = new BlastRequest(spec, stop, priority, place)
    for (const other of this.#requests) {
      if (other.before(request)) request.ahead++
      else other.ahead++
    }
    this.#requests.push(request)
    this.#requests.sort(compareBlasts)
    this.#byId.set(spec.id, request)
    this.#coverage.count('requests')
  }

  remove(request: BlastRequest): void {
    this.#requests.splice(this.#requests.indexOf(request), 1)
    this.#byId.delete(request.spec.id)
    this.#coverage.most('stepsOfOne', request.steps)
    this.#coverage.most('preemptionsOfOne', request.preemptions)
    this.#coverage.most('overtakesOfOne', request.overtaken)
  }

  /** Counts what a step did to everybody. */
  stepped({ requests, rows }: SchedulerOutput): void {
    this.#clock += rows.base + rows.draft + rows.prefill
    const admitted = requests.filter((share) => share.admitted).map((share) => this.get(share.running.request.id))
    for (const request of this.waiting) {
      const passes = admitted.filter((other) => request.before(other)).length
      request.overtaken += passes
      this.#coverage.count('overtakes', passes)
      assert(request.overtaken <= MOST_OVERTAKES, `request ${request.spec.id} was overtaken ${request.overtaken} times`)
    }
    if (requests.length === 0) return
    for (const request of this.#requests) {
      const used = ++request.steps / this.#mostSteps(request)
      this.#coverage.most('boundUsed', used)
      assert(used <= 1, `request ${request.spec.id} is unfinished after ${request.steps} steps with rows`)
    }
  }

  /** Compares with what the core thinks. */
  check({ running, waiting }: Scheduler, { firstWaiting, preempted }: SchedulerOutput): void {
    const runs = this.running
    const waits = this.waiting
    assert(running.length === runs.length && waiting.size === waits.length, `${runs.length} run, ${waits.length} wait`)
    for (const [place, one] of running.entries()) {
      assert(
        one.request.id === runs[place]?.spec.id,
        `request ${one.request.id} does not stand ${place} of those that run`,
      )
    }
    let place = 0
    for (const { id } of waiting) {
      assert(id === waits[place++]?.spec.id, `request ${id} does not stand ${place - 1} of those that wait`)
    }
    const [first] = waits
    assert(firstWaiting?.request.id === first?.spec.id, `what holds request ${first?.spec.id} is said`)
    assert(preempted.length === 0 || firstWaiting?.reason === 'preemption', 'nobody is admitted after a preemption')
    if (firstWaiting?.reason === 'blocks') this.#coverage.count('heldForBlocks')
    if (firstWaiting?.reason === 'sharedPrefix') this.#coverage.count('heldForSharedPrefix')
    if (firstWaiting?.reason === 'partialPrefills') this.#coverage.count('heldForPartialPrefills')
  }

  /**
   * Steps with rows from a request's arrival to its end. Let q be the first of all unfinished requests, L `maxModelLen`, P the
   * preemptions after which the first is spared. While q runs it computes a token in every step, but for those in which it waits
   * for steps in flight; so its at most P + 1 runs take (P + 1) L. While q waits, those that run compute a token in every step,
   * and nobody joins them but the 8 that may overtake q: S L for each of its P + 1 waits, 8 L in all. When another comes and
   * stands before q, q may find new ones running afterwards, which the newcomer answers for: one more S L. So each request that
   * ever stands before another delays it by at most L ((P + 1) (S + 1) + S + 8), and last comes its own turn.
   */
  #mostSteps({ ahead }: BlastRequest): number {
    const { options, depth } = this.#setup
    const { maxModelLen: L, maxNumSeqs: S } = options
    return (ahead + 1) * depth * L * ((MAX_PREEMPTIONS + 1) * (S + 1) + S + MOST_OVERTAKES)
  }
}
