/**
 * Collects the updates of samples while a step's results are processed, and sends them as one message per step. It must never
 * know where updates come from.
 */

import { WeirError } from '../protocol/errors.ts'
import type { SampleUpdate, ServiceListener } from '../protocol/service.ts'
import type { StepRecord } from '../protocol/stepRecord.ts'

/** The sample that an update is for, compared by identity: always pass the same object for a sample. */
export type SampleKey = Pick<SampleUpdate, 'id' | 'index'>

/** How a sample ended; `end` is set on the last sample of a generation. */
export type SampleEnd = Pick<SampleUpdate, 'finish_reason' | 'debug' | 'end'>

export class Outbox {
  readonly #listener: ServiceListener
  readonly #updates = new Map<SampleKey, SampleUpdate>()

  constructor(listener: ServiceListener) {
    this.#listener = listener
  }

  /** Appends text and tokens to the sample's next update. */
  add(sample: SampleKey, text: string, tokenIds: readonly number[]): void {
    this.#updates.set(sample, this.#extended(sample, text, tokenIds))
  }

  /** The sample's last update: how it ended, and the text that was held back until then. */
  end(sample: SampleKey, text: string, how: SampleEnd | WeirError): void {
    const update = this.#extended(sample, text, [])
    this.#updates.set(sample, { ...update, ...(how instanceof WeirError ? { error: how.toData() } : how) })
  }

  /** Sends the collected updates. A step's record is sent even when there are none. */
  send(record?: StepRecord): void {
    const updates = [...this.#updates.values()]
    this.#updates.clear()
    if (record) void this.#listener.step({ record, updates })
    else if (updates.length > 0) void this.#listener.step({ updates })
  }

  #extended(sample: SampleKey, text: string, tokenIds: readonly number[]): SampleUpdate {
    const before = this.#updates.get(sample)
    if (!before) return { id: sample.id, index: sample.index, text, token_ids: tokenIds }
    return { ...before, text: before.text + text, token_ids: [...before.token_ids, ...tokenIds] }
  }
}
