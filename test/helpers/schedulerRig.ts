/** A scheduler without engine or runner: every step's outcome is decided by the test. For laws about rows and blocks alone. */

import { maxTotalTokens } from '../../src/core/cost.ts'
import { Request } from '../../src/core/request.ts'
import { Scheduler } from '../../src/core/scheduler.ts'
import type { SchedulerOutput } from '../../src/core/schedulerOutput.ts'
import type { EngineOptions } from '../../src/protocol/options.ts'
import { engineOptions, GREEDY, promptOf } from './coreFixtures.ts'

export class SchedulerRig {
  readonly scheduler: Scheduler
  readonly #options: EngineOptions

  constructor(options: EngineOptions) {
    this.scheduler = new Scheduler(options)
    this.#options = options
  }

  add(id: number, promptLength: number, maxTokens: number): Request {
    const request = new Request(
      id,
      promptOf(promptLength, id),
      maxTotalTokens(promptLength, maxTokens, this.#options),
      GREEDY,
    )
    this.scheduler.add(request)
    return request
  }

  /** One step; `accepted` of k drafts turn out right. */
  step(accepted: (k: number) => number = () => 0): SchedulerOutput {
    const output = this.scheduler.schedule()
    for (const { running, k, samples } of output.requests) {
      const { request } = running
      running.settle(accepted(k))
      if (!samples) continue
      for (let i = 0; i <= accepted(k); i++) request.tokens.push(i)
      if (request.tokens.length === request.maxTotal) this.scheduler.remove(request.id)
    }
    return output
  }
}

/** Real rows of a step. */
export function rowsOf({ rows }: SchedulerOutput): number {
  return rows.base + rows.draft + rows.prefill
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
