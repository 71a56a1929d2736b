/**
 * Drafts from the text itself: what followed the latest earlier occurrence of the longest n-gram that the text ends with (prompt
 * lookup decoding, Saxena 2023; vLLM's `ngram`). An index by hash makes a step cost its new tokens, not the text. It must never
 * know a model.
 */

import type { NgramOptions } from '../../protocol/engineOptions.ts'
import { assert } from '../../util/math.ts'
import type { Request } from '../request.ts'
import type { Proposer } from './proposer.ts'

type Lengths = Pick<NgramOptions, 'promptLookupMin' | 'promptLookupMax'>

export class NgramProposer implements Proposer {
  readonly #lengths: Lengths
  /** by request id: at most one entry per token and length of n-gram */
  readonly #indexes = new Map<number, NgramIndex>()

  constructor(lengths: Lengths) {
    this.#lengths = lengths
  }

  propose({ id, tokens }: Request, limit: number): readonly number[] {
    let index = this.#indexes.get(id)
    if (!index) {
      index = new NgramIndex(this.#lengths)
      this.#indexes.set(id, index)
    }
    const end = index.find(tokens)
    return end === undefined ? [] : tokens.slice(end, end + limit)
  }

  forget(id: number): void {
    this.#indexes.delete(id)
  }
}

/** The latest place of every n-gram of one text that only grows. */
class NgramIndex {
  readonly #least: number
  /** for each length from the least: the end of the latest n-gram with a hash; a collision hides the earlier one */
  readonly #ends: readonly Map<number, number>[]
  /** n-grams that end at or before it are indexed */
  #indexed = 0

  constructor({ promptLookupMin, promptLookupMax }: Lengths) {
    this.#least = promptLookupMin
    this.#ends = Array.from({ length: promptLookupMax - promptLookupMin + 1 }, () => new Map())
  }

  /** Where the latest earlier occurrence of the longest known n-gram at the end of `tokens` ends; undefined if there is none. */
  find(tokens: readonly number[]): number | undefined {
    const length = tokens.length
    assert(length >= this.#indexed, 'a text only grows')
    // Not the n-grams at the very end: nothing follows them yet.
    for (let end = this.#indexed + 1; end < length; end++) this.#add(tokens, end)
    this.#indexed = Math.max(this.#indexed, length - 1)
    for (let place = this.#ends.length - 1; place >= 0; place--) {
      const n = this.#least + place
      const end = n < length ? this.#ends[place]?.get(hashOf(tokens, length - n, length)) : undefined
      if (end !== undefined && equal(tokens, end - n, length - n, n)) return end
    }
    return undefined
  }

  #add(tokens: readonly number[], end: number): void {
    for (const [place, ends] of this.#ends.entries()) {
      const begin = end - this.#least - place
      if (begin >= 0) ends.set(hashOf(tokens, begin, end), end)
    }
  }
}

function equal(tokens: readonly number[], a: number, b: number, n: number): boolean {
  for (let i = 0; i < n; i++) if (tokens[a + i] !== tokens[b + i]) return false
  return true
}

/** FNV-1a over ids, with a last mix. */
function hashOf(tokens: readonly number[], begin: number, end: number): number {
  let hash = 0x811c9dc5
  for (let i = begin; i < end; i++) hash = Math.imul(hash ^ (tokens[i] ?? 0), 0x01000193)
  return (hash ^ (hash >>> 15)) >>> 0
}
