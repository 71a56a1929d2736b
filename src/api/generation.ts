/**
 * One answer on its way: parts come in, and are read by iteration, by `result()`, or by both. Parts are kept, so that a reader
 * may come late. It must never know how parts get here.
 */

import type { WeirError } from '../protocol/errors.ts'
import type { GenerationPart, GenerationResult } from '../protocol/request.ts'
import type { RequestEnd, RequestUpdate } from '../protocol/service.ts'

/** What `LLM.generate` returns. The request is under way already; nothing needs to be read for it to go on. */
export interface Generation extends AsyncIterable<GenerationPart> {
  /** the request's number, as in `stats().blockOwners` */
  readonly id: number
  /**
   * Every part in order, from the first one whenever iteration starts. Leaving the loop before the end aborts the request.
   * After an error the parts that came before it are still delivered, then the error is thrown.
   */
  [Symbol.asyncIterator](): AsyncIterator<GenerationPart, undefined>
  /** The whole answer; rejects with the error that ended the request. A request that was left ends with 'abort'. */
  result(): Promise<GenerationResult>
}

/** The writing side of a Generation. */
export class GenerationStream implements Generation {
  readonly id: number
  readonly #onLeave: () => void
  readonly #parts: GenerationPart[] = []
  readonly #result: Promise<GenerationResult>
  #settle: { resolve(result: GenerationResult): void; reject(error: WeirError): void } | undefined
  #error: WeirError | undefined
  /** readers that wait for the next part or the end */
  #wake: (() => void)[] = []

  /** @param onLeave called when a reader leaves before the end */
  constructor(id: number, onLeave: () => void) {
    this.id = id
    this.#onLeave = onLeave
    this.#result = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
    })
    // Whoever asks for the result handles its error; a generation nobody reads must not become an unhandled rejection.
    this.#result.catch(() => {})
  }

  get ended(): boolean {
    return this.#settle === undefined
  }

  /** Takes what one step brought, its end included. After the end it takes nothing. */
  push(update: RequestUpdate, error: WeirError | undefined): void {
    if (this.ended) return
    if (update.token_ids.length > 0 || update.text !== '' || update.end) this.#parts.push(partOf(update))
    if (error) this.fail(error)
    else if (update.end) this.#finish(update.end)
    else this.#wakeReaders()
  }

  fail(error: WeirError): void {
    if (this.ended) return
    this.#error = error
    this.#settle?.reject(error)
    this.#end()
  }

  result(): Promise<GenerationResult> {
    return this.#result
  }

  [Symbol.asyncIterator](): AsyncIterator<GenerationPart, undefined> {
    let next = 0
    let left = false
    const done = { done: true, value: undefined } as const
    return {
      next: async () => {
        while (!left && next >= this.#parts.length && !this.ended) {
          await new Promise<void>((resolve) => this.#wake.push(resolve))
        }
        const part = left ? undefined : this.#parts[next]
        if (part) {
          next += 1
          return { done: false, value: part }
        }
        if (!left && this.#error) throw this.#error
        return done
      },
      return: async () => {
        left = true
        if (!this.ended) this.#onLeave()
        return done
      },
    }
  }

  #finish(end: RequestEnd): void {
    this.#settle?.resolve({
      text: this.#parts.map((part) => part.text).join(''),
      token_ids: this.#parts.flatMap((part) => part.token_ids),
      ...end,
    })
    this.#end()
  }

  #end(): void {
    this.#settle = undefined
    this.#wakeReaders()
  }

  #wakeReaders(): void {
    const waiting = this.#wake
    this.#wake = []
    for (const wake of waiting) wake()
  }
}

function partOf({ text, token_ids, end }: RequestUpdate): GenerationPart {
  return end ? { text, token_ids, finish_reason: end.finish_reason } : { text, token_ids }
}
