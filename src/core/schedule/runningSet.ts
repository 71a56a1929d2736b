/**
 * The requests that run, in scheduling order, each with a permanent row of the request table. It must never know
 * why a request comes or goes.
 */

import { assert } from '../../util/math.ts'
import { type Request, RunningRequest } from '../request.ts'
import { compareSchedulingOrder } from './schedulingState.ts'

export class RunningSet {
  readonly #ordered: RunningRequest[] = []
  readonly #byId = new Map<number, RunningRequest>()
  readonly #freeTableRows: number[]
  #admissions = 0

  constructor(maxNumSeqs: number) {
    this.#freeTableRows = Array.from({ length: maxNumSeqs }, (_, row) => maxNumSeqs - 1 - row)
  }

  /** In scheduling order. */
  get ordered(): readonly RunningRequest[] {
    return this.#ordered
  }

  get size(): number {
    return this.#ordered.length
  }

  get freeSlots(): number {
    return this.#freeTableRows.length
  }

  find(id: number): RunningRequest | undefined {
    return this.#byId.get(id)
  }

  /**
   * @param computed tokens whose KV is in the cache already
   * @param blocks its block table
   */
  enter(request: Request, computed: number, blocks: readonly number[]): RunningRequest {
    const tableRow = this.#freeTableRows.pop()
    assert(tableRow !== undefined, 'a table row is free')
    const running = new RunningRequest(request, tableRow, ++this.#admissions, computed, blocks)
    let place = this.#ordered.length
    while (place > 0 && comesAfter(this.#ordered[place - 1], request)) place--
    this.#ordered.splice(place, 0, running)
    this.#byId.set(request.id, running)
    return running
  }

  leave(running: RunningRequest): void {
    const place = this.#ordered.indexOf(running)
    assert(place >= 0, `request ${running.request.id} runs`)
    this.#ordered.splice(place, 1)
    this.#byId.delete(running.request.id)
    this.#freeTableRows.push(running.tableRow)
  }
}

function comesAfter(running: RunningRequest | undefined, request: Request): boolean {
  return running !== undefined && compareSchedulingOrder(running.request.schedulingState, request.schedulingState) > 0
}
