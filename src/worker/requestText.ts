/**
 * The text of one request as it grows: ids in, settled text out, up to a stop string. It must never know the engine.
 */

import { StopMatcher } from '../tokenizer/stopStrings.ts'
import { type StreamingDetokenizer, streamingDetokenizer } from '../tokenizer/streamingDetokenizer.ts'
import type { Tokenizer } from '../tokenizer/tokenizer.ts'

export class RequestText {
  readonly #detokenizer: StreamingDetokenizer
  readonly #stops: StopMatcher
  readonly #stopIds: ReadonlySet<number>
  #stopped = false

  /**
   * @param stop strings that end the text and are not part of it
   * @param stopIds ids that end it; like stop strings they are not part of it (as in vLLM), whatever they stand for
   */
  constructor(tokenizer: Tokenizer, stop: readonly string[], stopIds: readonly number[]) {
    this.#detokenizer = streamingDetokenizer(tokenizer)
    this.#stops = new StopMatcher(stop)
    this.#stopIds = new Set(stopIds)
  }

  /**
   * The text that these tokens settle.
   * @returns kept: how many of them there are up to the end of a stop string; undefined while there is none
   */
  push(ids: readonly number[]): { readonly text: string; readonly kept: number | undefined } {
    const pieces = ids.map((id) => (this.#stopIds.has(id) ? '' : this.#detokenizer.push(id)))
    const { text, match } = this.#stops.push(pieces)
    this.#stopped = match !== undefined
    return { text, kept: match?.pieces }
  }

  /** What was held back, once no more tokens come; nothing after a stop string. */
  finish(): string {
    if (this.#stopped) return ''
    const { text, match } = this.#stops.push([this.#detokenizer.flush()])
    return match ? text : text + this.#stops.flush()
  }
}
