/**
 * Incremental detokenization: the concatenated pieces equal `Tokenizer.decode` of all ids, a piece never ends inside a
 * character, and the cost per token is constant. One instance per request; it must never know requests or stop strings.
 */

import type { Tokenizer } from './tokenizer.ts'

export interface StreamingDetokenizer {
  /** The text completed by this token; '' while a character is incomplete. */
  push(id: number): string
  /** The remaining text; an incomplete character becomes U+FFFD. `push` must not be called afterwards. */
  flush(): string
}

export function streamingDetokenizer(tokenizer: Tokenizer, skipSpecial = true): StreamingDetokenizer {
  const skipped = skipSpecial ? tokenizer.specialIds : NONE
  return tokenizer.byteLevel ? new ByteDetokenizer(tokenizer, skipped) : new WindowDetokenizer(tokenizer, skipped)
}

const NONE: ReadonlySet<number> = new Set()

/** For byte-level tokenizers: a streaming UTF-8 decoder, which buffers only the incomplete character. */
class ByteDetokenizer implements StreamingDetokenizer {
  readonly #tokenizer: Tokenizer
  readonly #skipped: ReadonlySet<number>
  // A byte order mark is kept as part of the text.
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

/** Tokens kept as left context: more than the 4 single-byte tokens of one character. */
const CONTEXT_TOKENS = 6
/** Window size at which a window that never completes is cut. */
const MAX_WINDOW_TOKENS = 16

/**
 * For all other decoders: decodes a short window of the last tokens and returns the new part of its text (the prefix and
 * read offsets of text-generation-inference and vLLM). The window starts before the new tokens, because decoders treat
 * the first token differently (a leading space is stripped). A trailing U+FFFD is held back: it may be an incomplete
 * character.
 */
class WindowDetokenizer implements StreamingDetokenizer {
  readonly #tokenizer: Tokenizer
  readonly #skipped: ReadonlySet<number>
  #window: number[] = []
  /** UTF-16 units of the window's text already returned */
  #given = 0

  constructor(tokenizer: Tokenizer, skipped: ReadonlySet<number>) {
    this.#tokenizer = tokenizer
    this.#skipped = skipped
  }

  push(id: number): string {
    // A token without text would take a place in the window and push out an incomplete character.
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

  /** Drops the oldest tokens of the window; `held` units at the end of its text are not yet returned. */
  #shorten(held: number): void {
    this.#window = this.#window.slice(-CONTEXT_TOKENS)
    this.#given = this.#decode(this.#window).length - held
  }

  #decode(ids: readonly number[]): string {
    return this.#tokenizer.decode(ids, { skipSpecial: false })
  }
}
