/**
 * Collects the updates of samples while a step's results are processed, and sends them as one message per step. It must never
 * know where updates come from.
 */

import { WeirError } from '../protocol/errors.ts'
import type { SampleUpdate, ServiceListener } from '../protocol/service.ts'
import type { StepRecord } from '../protocol/stepRecord.ts'

/** The sample that an update is for, compared by identity: always pass the same object for a sample. */
export type Addressee = Pick<SampleUpdate, 'id' | 'index'>

/** How a sample ended; `end` is set on the last sample of a generation. */
export type SampleEnd = Pick<SampleUpdate, 'finish_reason' | 'debug' | 'end'>

export class Outbox {
  readonly #listener: ServiceListener
  readonly #updates = new Map<Addressee, SampleUpdate>()

  constructor(listener: ServiceListener) {
    this.#listener = listener
  }

  /** Appends text and tokens to the sample's next update. */
  add(to: Addressee, text: string, tokenIds: readonly number[]): void {
    this.#updates.set(to, this.#extended(to, text, tokenIds))
  }

  /** The sample's last update: how it ended, and the text that was held back until then. */
  end(to: Addressee, text: string, how: SampleEnd | WeirError): void {
    const update = this.#extended(to, text, [])
    this.#updates.set(to, { ...update, ...(how instanceof WeirError ? { error: how.toData() } : how) })
  }

  /** Sends the collected updates. A step's record is sent even when there are none. */
  send(record?: StepRecord): void {
    const updates = [...this.#updates.values()]
    this.#updates.clear()
    if (record) void this.#listener.step({ record, updates })
    else if (updates.length > 0) void this.#listener.step({ updates })
  }

  #extended(to: Addressee, text: string, tokenIds: readonly number[]): SampleUpdate {
    const before = this.#updates.get(to)
    if (!before) return { id: to.id, index: to.index, text, token_ids: tokenIds }
    return { ...before, text: before.text + text, token_ids: [...before.token_ids, ...tokenIds] }
  }
}
