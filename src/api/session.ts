/**
 * One loaded engine as the page sees it: which generations are in flight, what each step message brings them, and the one
 * error that ends them all. It must never know whether the service runs in a worker or in this thread.
 */

import { WeirError } from '../protocol/errors.ts'
import type { LoadWarning } from '../protocol/options.ts'
import type { Prompt, SamplingFields } from '../protocol/request.ts'
import type { EngineStats, LlmService, Outcome, StepMessage } from '../protocol/service.ts'
import type { StepRecord } from '../protocol/stepRecord.ts'
import { readRequest } from './generateOptions.ts'
import { type Generation, GenerationStream } from './generation.ts'
import type { Link } from './link.ts'
import { aborted } from './signal.ts'

export class Session {
  readonly #service: LlmService
  readonly #link: Link
  readonly #onStep: ((record: StepRecord) => void) | undefined
  readonly #streams = new Map<number, GenerationStream>()
  #nextId = 0
  /** why no more requests are taken */
  #closed: WeirError | undefined
  #disposal: Promise<void> | undefined

  constructor(service: LlmService, link: Link, onStep: ((record: StepRecord) => void) | undefined) {
    this.#service = service
    this.#link = link
    this.#onStep = onStep
    void link.lost.then((error) => this.#close(error))
  }

  /** Sends the request at once. Whatever is wrong with it comes as the generation's error, never from here. */
  generate(prompt: unknown, options: unknown): Generation {
    const id = this.#nextId++
    const stream = new GenerationStream(id, () => this.#abort(id))
    try {
      if (this.#closed) throw this.#closed
      const request = readRequest(prompt, options)
      const { signal } = request
      if (signal?.aborted) throw aborted(signal)
      if (signal) this.#watch(id, stream, signal)
      this.#streams.set(id, stream)
      void this.#submit(id, request.prompt, request.fields)
    } catch (thrown) {
      stream.fail(WeirError.from(thrown))
    }
    return stream
  }

  /** Delivers a step's updates to their generations, then its record to `onStep`. */
  deliver(message: StepMessage): void {
    for (const update of message.updates) {
      const stream = this.#streams.get(update.id)
      stream?.push(update, update.error && WeirError.fromData(update.error))
      if (stream?.ended) this.#streams.delete(update.id)
    }
    if (message.record) callBack(this.#onStep, message.record)
  }

  async stats(): Promise<EngineStats> {
    if (this.#closed) throw this.#closed
    return unwrap(await this.#service.stats())
  }

  async resetPrefixCache(): Promise<void> {
    if (this.#closed) throw this.#closed
    unwrap(await this.#service.resetPrefixCache())
  }

  async trace(): Promise<string> {
    if (this.#closed) throw this.#closed
    return unwrap(await this.#service.trace())
  }

  /** Ends every generation with DISPOSED and frees everything. Later calls wait for the first. */
  dispose(): Promise<void> {
    this.#disposal ??= this.#dispose()
    return this.#disposal
  }

  async #dispose(): Promise<void> {
    const gone = this.#closed !== undefined
    this.#close(new WeirError('DISPOSED', 'the model was disposed of: load it again'))
    // A worker that is gone cannot answer; closing the link is all that is left to do.
    if (!gone) await this.#service.dispose().catch(() => {})
    this.#link.close()
  }

  async #submit(id: number, prompt: Prompt, fields: SamplingFields): Promise<void> {
    try {
      unwrap(await this.#service.submit(id, prompt, fields))
    } catch (thrown) {
      this.#streams.get(id)?.fail(WeirError.from(thrown))
      this.#streams.delete(id)
    }
  }

  #watch(id: number, stream: GenerationStream, signal: AbortSignal): void {
    const onAbort = () => {
      stream.fail(aborted(signal))
      if (this.#streams.delete(id)) this.#abort(id)
    }
    const forget = () => signal.removeEventListener('abort', onAbort)
    signal.addEventListener('abort', onAbort)
    stream.result().then(forget, forget)
  }

  /** The request ends with 'abort' in one of the next messages. */
  #abort(id: number): void {
    void this.#service.abort(id).catch(() => {})
  }

  #close(error: WeirError): void {
    this.#closed = error
    for (const stream of this.#streams.values()) stream.fail(error)
    this.#streams.clear()
  }
}

/** A callback of the page that throws is the page's error: reported there, and nothing of ours stops. */
export function callBack<T>(callback: ((value: T) => void) | undefined, value: T): void {
  try {
    callback?.(value)
  } catch (thrown) {
    queueMicrotask(() => {
      throw thrown
    })
  }
}

/** To the page's `onWarning`, else to the console. */
export function warn(warning: LoadWarning, onWarning: ((warning: LoadWarning) => void) | undefined): void {
  if (onWarning) callBack(onWarning, warning)
  else console.warn(`weir: ${warning.message}`)
}

export function unwrap<T>(outcome: Outcome<T>): T {
  if (outcome.ok) return outcome.value
  throw WeirError.fromData(outcome.error)
}
