/**
 * Finds stop strings in text that arrives in pieces. Text that may begin a stop string is held back, so emitted text is
 * never retracted. The earliest complete match wins, of several the longest, so the result does not depend on how the
 * text is split. One Knuth-Morris-Pratt automaton per string: linear time. It must never know tokens.
 */

import { assert } from '../util/math.ts'

export interface StopScan {
  /** text that cannot be part of a stop string */
  readonly text: string
  /** set at a match; `push` must not be called afterwards */
  readonly match?: StopMatch
}

export interface StopMatch {
  readonly stop: string
  /**
   * number of pieces of this call up to and including the one that completed the stop string; with one piece per token,
   * the tokens to keep
   */
  readonly pieces: number
}

interface Automaton {
  readonly stop: string
  /** the failure function: for the prefix of length i + 1, the length of its longest proper prefix that is also a suffix */
  readonly borders: readonly number[] // [stop.length]
  /** length of the longest prefix of `stop` that the text ends with */
  matched: number
}

export class StopMatcher {
  readonly #automata: readonly Automaton[]
  #held = ''
  #done = false

  /** @param stops none of them empty */
  constructor(stops: readonly string[]) {
    this.#automata = stops.map((stop) => {
      assert(stop.length > 0, 'a stop string is not empty')
      return { stop, borders: bordersOf(stop), matched: 0 }
    })
  }

  /** Scans the next pieces. @returns the text that can be emitted */
  push(pieces: readonly string[]): StopScan {
    assert(!this.#done, 'nothing is pushed after the match')
    let text = this.#held
    for (const [index, piece] of pieces.entries()) {
      for (let i = 0; i < piece.length; i++) {
        const stop = this.#advance(piece.charAt(i))
        if (stop === undefined) continue
        const end = text.length + i + 1
        this.#held = ''
        this.#done = true
        return { text: (text + piece).slice(0, end - stop.length), match: { stop, pieces: index + 1 } }
      }
      text += piece
    }
    const hold = this.#automata.reduce((most, { matched }) => Math.max(most, matched), 0)
    this.#held = text.slice(text.length - hold)
    return { text: text.slice(0, text.length - hold) }
  }

  /** Returns the held-back text when generation ends before a stop string is complete. */
  flush(): string {
    const held = this.#held
    this.#held = ''
    return held
  }

  /** Advances all automata by one UTF-16 unit. @returns the longest stop string completed by it */
  #advance(unit: string): string | undefined {
    let longest: string | undefined
    for (const automaton of this.#automata) {
      const { stop, borders } = automaton
      while (automaton.matched > 0 && stop.charAt(automaton.matched) !== unit) {
        automaton.matched = borders[automaton.matched - 1] ?? 0
      }
      if (stop.charAt(automaton.matched) === unit) automaton.matched += 1
      if (automaton.matched === stop.length && stop.length > (longest?.length ?? 0)) longest = stop
    }
    return longest
  }
}

function bordersOf(stop: string): number[] {
  const borders = [0]
  for (let i = 1; i < stop.length; i++) {
    let border = borders[i - 1] ?? 0
    while (border > 0 && stop.charAt(border) !== stop.charAt(i)) border = borders[border - 1] ?? 0
    borders.push(stop.charAt(border) === stop.charAt(i) ? border + 1 : 0)
  }
  return borders
}
