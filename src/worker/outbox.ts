/**
 * News of requests, gathered while a step is being worked up and sent as one message when it is over. It must never know where
 * news comes from.
 */

import { WeirError } from '../protocol/errors.ts'
import type { RequestEnd, RequestUpdate, ServiceListener } from '../protocol/service.ts'
import type { StepRecord } from '../protocol/stepRecord.ts'

export class Outbox {
  readonly #listener: ServiceListener
  readonly #updates = new Map<number, RequestUpdate>()

  constructor(listener: ServiceListener) {
    this.#listener = listener
  }

  /** Adds text and tokens to what the next message brings to a request. */
  add(id: number, text: string, tokenIds: readonly number[]): void {
    this.#updates.set(id, this.#extended(id, text, tokenIds))
  }

  /** The request's last news: how it ended, and the text that was held back until then. */
  end(id: number, text: string, how: RequestEnd | WeirError): void {
    const update = this.#extended(id, text, [])
    this.#updates.set(id, how instanceof WeirError ? { ...update, error: how.toData() } : { ...update, end: how })
  }

  /** Sends what there is. A step's message goes out even when it brings nothing to any request: its record is news. */
  send(record?: StepRecord): void {
    const updates = [...this.#updates.values()]
    this.#updates.clear()
    if (record) void this.#listener.step({ record, updates })
    else if (updates.length > 0) void this.#listener.step({ updates })
  }

  #extended(id: number, text: string, tokenIds: readonly number[]): RequestUpdate {
    const before = this.#updates.get(id)
    if (!before) return { id, text, token_ids: tokenIds }
    return { ...before, text: before.text + text, token_ids: [...before.token_ids, ...tokenIds] }
  }
}
