/**
 * News of samples, gathered while a step is being worked up and sent as one message when it is over. It must never know where
 * news comes from.
 */

import { WeirError } from '../protocol/errors.ts'
import type { SampleUpdate, ServiceListener } from '../protocol/service.ts'
import type { StepRecord } from '../protocol/stepRecord.ts'

/** Whom news is for: one object per sample, the same all along. */
export type Addressee = Pick<SampleUpdate, 'id' | 'index'>

/** How a sample came to its end; that of the last one ends the generation. */
export type SampleEnd = Pick<SampleUpdate, 'finish_reason' | 'debug' | 'end'>

export class Outbox {
  readonly #listener: ServiceListener
  readonly #updates = new Map<Addressee, SampleUpdate>()

  constructor(listener: ServiceListener) {
    this.#listener = listener
  }

  /** Adds text and tokens to what the next message brings to a sample. */
  add(to: Addressee, text: string, tokenIds: readonly number[]): void {
    this.#updates.set(to, this.#extended(to, text, tokenIds))
  }

  /** The sample's last news: how it ended, and the text that was held back until then. */
  end(to: Addressee, text: string, how: SampleEnd | WeirError): void {
    const update = this.#extended(to, text, [])
    this.#updates.set(to, { ...update, ...(how instanceof WeirError ? { error: how.toData() } : how) })
  }

  /** Sends what there is. A step's message goes out even when it brings nothing to any request: its record is news. */
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
