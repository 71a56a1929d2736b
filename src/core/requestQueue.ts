/**
 * Requests that wait for admission, first come first served. A preempted request goes back to the head: the newest running one
 * is preempted first, so the queue stays in the order of arrival, and every waiting request is newer than every running one.
 */

import { assert } from '../util/math.ts'
import type { Request } from './request.ts'

export class RequestQueue {
  readonly #requests: Request[] = []

  get size(): number {
    return this.#requests.length
  }

  get head(): Request | undefined {
    return this.#requests[0]
  }

  [Symbol.iterator](): Iterator<Request> {
    return this.#requests[Symbol.iterator]()
  }

  push(request: Request): void {
    this.#requests.push(request)
  }

  /** Takes back a request that was the newest running one. */
  pushFront(request: Request): void {
    this.#requests.unshift(request)
  }

  /** Removes the head, which must be `request`. */
  admit(request: Request): void {
    assert(this.#requests.shift() === request, `request ${request.id} is the head of the queue`)
  }

  /** Whether it was there. */
  remove(id: number): boolean {
    const index = this.#requests.findIndex((request) => request.id === id)
    if (index >= 0) this.#requests.splice(index, 1)
    return index >= 0
  }
}
