/**
 * Detokenizes the output of one request incrementally, up to a stop string. It must never know the engine.
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
   * @param stopIds ids that end the text; their own text is left out, as in vLLM
   */
  constructor(tokenizer: Tokenizer, stop: readonly string[], stopIds: readonly number[]) {
    this.#detokenizer = streamingDetokenizer(tokenizer)
    this.#stops = new StopMatcher(stop)
    this.#stopIds = new Set(stopIds)
  }

  /**
   * Adds tokens; `text` is what can be sent, since no later token changes it.
   * @returns kept: how many of the tokens to keep, up to the one that completed a stop string; undefined without a match
   */
  push(ids: readonly number[]): { readonly text: string; readonly kept: number | undefined } {
    const pieces = ids.map((id) => (this.#stopIds.has(id) ? '' : this.#detokenizer.push(id)))
    const { text, match } = this.#stops.push(pieces)
    this.#stopped = match !== undefined
    return { text, kept: match?.pieces }
  }

  /** After the last token: the text that was held back; '' after a stop string. */
  finish(): string {
    if (this.#stopped) return ''
    const { text, match } = this.#stops.push([this.#detokenizer.flush()])
    return match ? text : text + this.#stops.flush()
  }
}
