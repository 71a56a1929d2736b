/** A scheduler without engine or runner: every step's outcome is decided by the test. For laws about rows and blocks alone. */

import { maxTotalTokens } from '../../src/core/cost.ts'
import type { Request, RequestSpec } from '../../src/core/request.ts'
import { Scheduler } from '../../src/core/schedule/scheduler.ts'
import type { SchedulerOutput } from '../../src/core/schedule/schedulerOutput.ts'
import type { EngineOptions } from '../../src/protocol/options.ts'
import { engineOptions, GREEDY, promptOf } from './coreFixtures.ts'

export class SchedulerRig {
  readonly scheduler: Scheduler
  readonly #options: EngineOptions

  constructor(options: EngineOptions) {
    this.scheduler = new Scheduler(options)
    this.#options = options
  }

  add(id: number, promptLength: number, maxTokens: number, changes: Partial<RequestSpec> = {}): Request {
    const promptTokenIds = changes.promptTokenIds ?? promptOf(promptLength, id)
    const maxTotal = maxTotalTokens(promptTokenIds.length, maxTokens, this.#options)
    return this.scheduler.add({
      id,
      promptTokenIds,
      maxTotal,
      sampling: GREEDY,
      priority: 0,
      cacheSalt: undefined,
      ...changes,
    })
  }

  /** One step; `accepted` of k drafts turn out right. */
  step(accepted?: (k: number) => number): SchedulerOutput {
    const output = this.scheduler.schedule()
    this.settle(output, accepted)
    return output
  }

  /** The outcome of the oldest step in flight. Answers for requests that are gone or were preempted since are dropped. */
  settle(output: SchedulerOutput, accepted: (k: number) => number = () => 0): void {
    for (const { running, k, samples } of output.requests) {
      const { request, generation } = running
      if (this.scheduler.find(request.id, generation) !== running) continue
      const right = samples ? accepted(k) : 0
      const ids = samples ? Array.from({ length: right + 1 }, (_, i) => i) : []
      this.scheduler.settle(running, right, ids)
      if (request.tokens.length === request.maxTotal) this.scheduler.remove(request.id)
    }
    this.scheduler.checkIntegrity()
  }

  /** Steps until nothing is left. @returns the steps */
  drain(accepted?: (k: number) => number, maxSteps = 10_000): SchedulerOutput[] {
    const outputs: SchedulerOutput[] = []
    while (this.scheduler.hasUnfinished) {
      if (outputs.length === maxSteps) throw new Error(`unfinished after ${maxSteps} steps`)
      outputs.push(this.step(accepted))
    }
    return outputs
  }

  get runningIds(): number[] {
    return this.scheduler.running.map(({ request }) => request.id)
  }

  get waitingIds(): number[] {
    return [...this.scheduler.waiting].map(({ id }) => id)
  }
}

/** Real rows of a step. */
export function rowsOf({ rows }: SchedulerOutput): number {
  return rows.base + rows.draft + rows.prefill
}

/** Ids of the requests that got rows, in the plan's order. */
export function idsOf({ requests }: SchedulerOutput): number[] {
  return requests.map(({ running }) => running.request.id)
}

/** Rows by request. */
export function rowsById({ requests }: SchedulerOutput): Record<number, number> {
  return Object.fromEntries(requests.map(({ running, n }) => [running.request.id, n]))
}

/** What each request got, for comparing steps. */
export function sharesOf({ requests }: SchedulerOutput): unknown[] {
  return requests.map(({ running, prefill, n, k, m, samples, newBlocks }) => {
    return { id: running.request.id, prefill, n, k, m, samples, newBlocks: newBlocks.length }
  })
}

/** A rig in which requests 0…count-1 decode, each with its drafts proposed. */
export function decodingRig(count: number, changes: Parameters<typeof engineOptions>[0], maxTokens = 60): SchedulerRig {
  const rig = new SchedulerRig(engineOptions(changes))
  for (let id = 0; id < count; id++) rig.add(id, 1, maxTokens)
  rig.step()
  return rig
}
