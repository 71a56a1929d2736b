/**
 * Makes sessions from rows of tensors: a session's weights are collected as it will have them, and as soon as it has all it is made
 * and they are dropped. Tensors may come in any order, the rows of each in theirs. It must never know what a tensor means.
 */

import type { WeightRows } from '../weights/format.ts'
import { fillPlace } from './fillPlace.ts'
import type { SessionPlan } from './graphBuilder.ts'
import type { CreateSession, RowSession } from './session.ts'
import type { SessionName } from './sessionPlans.ts'

/** A session that has some of its weights. */
interface OpenSession {
  readonly file: Uint8Array<ArrayBuffer>
  /** places of tensors that have not come whole */
  missing: number
}

export class SessionLoader {
  readonly #plans: ReadonlyMap<SessionName, SessionPlan>
  readonly #create: CreateSession
  readonly #open = new Map<SessionName, OpenSession>()
  readonly #sessions = new Map<SessionName, RowSession>()

  constructor(plans: ReadonlyMap<SessionName, SessionPlan>, create: CreateSession) {
    this.#plans = plans
    this.#create = create
  }

  /**
   * Adds rows of a tensor to every session that has a place for it.
   * @param rows not kept
   * @param beforeSession called before each session that is made; what it throws ends the call
   * @throws OUT_OF_MEMORY, RangeError (no host memory)
   */
  async add(tensor: string, firstRow: number, rows: WeightRows, beforeSession: () => void): Promise<void> {
    for (const [name, plan] of this.#plans) {
      const places = plan.places.filter((place) => place.tensor === tensor)
      if (places.length === 0) continue
      const open = this.#open.get(name) ?? { file: new Uint8Array(plan.weightBytes), missing: plan.places.length }
      this.#open.set(name, open)
      for (const place of places) {
        fillPlace(open.file, place, firstRow, rows)
        if ((firstRow + rows.count) * rows.inputs === place.size) open.missing -= 1
      }
      if (open.missing > 0) continue
      this.#open.delete(name)
      beforeSession()
      this.#sessions.set(name, await this.#create(name, plan.model, open.file))
    }
  }

  /** The sessions made so far. */
  get sessions(): ReadonlyMap<SessionName, RowSession> {
    return this.#sessions
  }

  get complete(): boolean {
    return this.#sessions.size === this.#plans.size
  }
}
