/**
 * Text of a growing sequence of ids, piece by piece: the pieces joined are `Tokenizer.decode` of all ids, a piece never ends
 * inside a character, and a token costs the same at the end of a long text as at its start. One of these belongs to each request;
 * it must never know requests or stop strings.
 */

import type { Tokenizer } from './tokenizer.ts'

export interface StreamingDetokenizer {
  /** The text that is settled by this token: '' while a character is incomplete. */
  push(id: number): string
  /** What was held back; an incomplete character becomes U+FFFD. Nothing may be pushed afterwards. */
  flush(): string
}

export function streamingDetokenizer(tokenizer: Tokenizer, skipSpecial = true): StreamingDetokenizer {
  const skipped = skipSpecial ? tokenizer.specialIds : NONE
  return tokenizer.byteLevel ? new ByteDetokenizer(tokenizer, skipped) : new WindowDetokenizer(tokenizer, skipped)
}

const NONE: ReadonlySet<number> = new Set()

/** For byte-level tokenizers: a streaming UTF-8 decoder over the tokens' bytes holds exactly the incomplete character. */
class ByteDetokenizer implements StreamingDetokenizer {
  readonly #tokenizer: Tokenizer
  readonly #skipped: ReadonlySet<number>
  // A byte order mark is a character of the text like any other.
  readonly #utf8 = new TextDecoder('utf-8', { ignoreBOM: true })

  constructor(tokenizer: Tokenizer, skipped: ReadonlySet<number>) {
    this.#tokenizer = tokenizer
    this.#skipped = skipped
  }

  push(id: number): string {
    if (this.#skipped.has(id)) return ''
    return this.#utf8.decode(this.#tokenizer.tokenBytes(id), { stream: true })
  }

  flush(): string {
    return this.#utf8.decode()
  }
}

/** Tokens kept as left context: more than the 4 that a character of single-byte tokens can take. */
const CONTEXT_TOKENS = 6
/** Tokens after which a window that never settles is cut. */
const MAX_WINDOW_TOKENS = 16

/**
 * For every other decoder: decodes a short window of the last tokens and gives what is new in it (the prefix and read offsets of
 * text-generation-inference and vLLM). The window starts before the new tokens because decoders treat the first token apart (a
 * space is stripped). A trailing U+FFFD may be a character whose bytes are still to come, so it waits.
 */
class WindowDetokenizer implements StreamingDetokenizer {
  readonly #tokenizer: Tokenizer
  readonly #skipped: ReadonlySet<number>
  #window: number[] = []
  /** UTF-16 units of the window's text that were given already */
  #given = 0

  constructor(tokenizer: Tokenizer, skipped: ReadonlySet<number>) {
    this.#tokenizer = tokenizer
    this.#skipped = skipped
  }

  push(id: number): string {
    // A token without text would use up the context and push an incomplete character out of it.
    if (this.#skipped.has(id) || !this.#tokenizer.has(id)) return ''
    this.#window.push(id)
    const text = this.#decode(this.#window)
    const settled = text.endsWith('\uFFFD') ? text.length - 1 : text.length
    const piece = text.slice(this.#given, settled)
    this.#given = Math.max(this.#given, settled)
    if (this.#window.length > MAX_WINDOW_TOKENS) this.#shorten(text.length - this.#given)
    return piece
  }

  flush(): string {
    return this.#decode(this.#window).slice(this.#given)
  }

  /** Drops the window's oldest tokens; `held` units at the end of its text have not been given. */
  #shorten(held: number): void {
    this.#window = this.#window.slice(-CONTEXT_TOKENS)
    this.#given = this.#decode(this.#window).length - held
  }

  #decode(ids: readonly number[]): string {
    return this.#tokenizer.decode(ids, { skipSpecial: false })
  }
}
