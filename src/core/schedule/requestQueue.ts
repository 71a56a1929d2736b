/**
 * The requests that wait, in scheduling order. A preempted request comes back to its place in that order,
 * which is near the head. It must never know why a request waits.
 *
 * Sorted, in an array whose live range begins at `#head`: taking from the front moves the head, and an insertion shifts
 * whichever side of its place is shorter.
 */

import { assert } from '../../util/math.ts'
import type { Request } from '../request.ts'
import { compareSchedulingOrder } from './schedulingState.ts'

export class RequestQueue {
  /** `undefined` before `#head` */
  readonly #requests: (Request | undefined)[] = []
  readonly #byId = new Map<number, Request>()
  #head = 0

  get size(): number {
    return this.#byId.size
  }

  /** The request at a place, 0 being the head. */
  at(place: number): Request | undefined {
    return this.#requests[this.#head + place]
  }

  *[Symbol.iterator](): Iterator<Request> {
    for (let place = 0; place < this.size; place++) yield this.#get(this.#head + place)
  }

  add(request: Request): void {
    assert(!this.#byId.has(request.id), `request ${request.id} waits once`)
    this.#byId.set(request.id, request)
    const index = this.#indexFor(request)
    if (this.#head === 0 || this.#nearerToEnd(index)) {
      this.#requests.splice(index, 0, request)
    } else {
      for (let i = this.#head; i < index; i++) this.#requests[i - 1] = this.#requests[i]
      this.#requests[index - 1] = request
      this.#head--
    }
  }

  /** Takes a request out. @returns whether it was there */
  remove(id: number): boolean {
    const request = this.#byId.get(id)
    if (!request) return false
    this.#byId.delete(id)
    const index = this.#indexFor(request)
    assert(this.#requests[index] === request, `request ${id} is at its place`)
    if (this.#nearerToEnd(index)) {
      this.#requests.splice(index, 1)
    } else {
      for (let i = index; i > this.#head; i--) this.#requests[i] = this.#requests[i - 1]
      this.#requests[this.#head++] = undefined
    }
    // Dropping the empty part when it is the larger one costs a constant per removal.
    if (this.#head * 2 > this.#requests.length) {
      this.#requests.splice(0, this.#head)
      this.#head = 0
    }
    return true
  }

  #nearerToEnd(index: number): boolean {
    return this.#requests.length - index < index - this.#head
  }

  /** The first index whose request does not come before `request`. */
  #indexFor(request: Request): number {
    let low = this.#head
    let high = this.#requests.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (compareSchedulingOrder(this.#get(middle).schedulingState, request.schedulingState) < 0) low = middle + 1
      else high = middle
    }
    return low
  }

  #get(index: number): Request {
    const request = this.#requests[index]
    assert(request !== undefined, 'every place from the head on is taken')
    return request
  }
}
