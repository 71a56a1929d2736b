/**
 * One answer on its way: what its samples get comes in, and is read by iteration, by `result()`, or by both. All of it is kept,
 * so that a reader may come late. It must never know how it gets here.
 */

import { WeirError } from '../protocol/errors.ts'
import type { GenerationPart, GenerationResult } from '../protocol/request.ts'
import type { GenerationEnd, SampleUpdate } from '../protocol/service.ts'
import { bindMethods } from './bindMethods.ts'
import { choicesOf } from './choices.ts'

/**
 * What `LLM.generate` returns. The request is under way already; nothing needs to be read for it to go on.
 *
 * However it ends, what there is of the answer can be had:
 * - by itself: `result()` resolves, each sample with `finish_reason` 'stop' or 'length';
 * - because a loop over it was left (`break`, `return`, a throw): it is aborted, and `result()` resolves with what there was, samples
 *   that had not ended with `finish_reason` 'abort';
 * - by its signal: iteration and `result()` reject with ABORTED at once, whose `partial` is what there was;
 * - by any other error: the same with that error.
 */
export interface Generation extends AsyncIterable<GenerationPart> {
  /** its number, as in `stats().blockOwners` */
  readonly id: number
  /**
   * Every part in order, from the first one whenever iteration starts. Leaving a loop before the end aborts all samples.
   * After an error the parts that came before it are still delivered, then the error is thrown.
   */
  [Symbol.asyncIterator](): AsyncIterator<GenerationPart, undefined>
  /** The whole answer, once all samples have ended; rejects with the error that ended them. */
  result(): Promise<GenerationResult>
}

/** The writing side of a Generation. */
export class GenerationStream implements Generation {
  readonly id: number
  readonly #onLeave: () => void
  /** those with something to read */
  readonly #updates: SampleUpdate[] = []
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
    bindMethods(this)
    // A caller that awaits the result handles its error; a generation that is never awaited must not become an unhandled rejection.
    this.#result.catch(() => {})
  }

  get ended(): boolean {
    return this.#settle === undefined
  }

  /** Takes what one step brought to one sample, its end included. After the end of all it takes nothing. */
  push(update: SampleUpdate, error: WeirError | undefined): void {
    if (this.ended) return
    if (update.token_ids.length > 0 || update.text !== '' || update.finish_reason) this.#updates.push(update)
    if (error) this.fail(error)
    else if (update.end) this.#finish(update.end)
    else this.#wakeReaders()
  }

  fail(error: WeirError): void {
    if (this.ended) return
    const { code, message, details, cause } = error
    const partial = this.#updates.length > 0 ? choicesOf(this.#updates) : undefined
    this.#error = new WeirError(code, message, details, { cause, partial })
    this.#settle?.reject(this.#error)
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
        while (!left && next >= this.#updates.length && !this.ended) {
          await new Promise<void>((resolve) => this.#wake.push(resolve))
        }
        const update = left ? undefined : this.#updates[next]
        if (update) {
          next += 1
          return { done: false, value: partOf(update) }
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

  #finish(end: GenerationEnd): void {
    this.#settle?.resolve({ ...choicesOf(this.#updates), ...end })
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

function partOf({ index, text, token_ids, finish_reason, end }: SampleUpdate): GenerationPart {
  return { index, text, token_ids, ...(finish_reason && { finish_reason }), ...(end && { usage: end.usage }) }
}
