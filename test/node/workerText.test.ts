/** The text of a request as it streams: stop strings and characters, however tokens cut them. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { saying, tokenizer } from '../helpers/scriptedModel.ts'
import { serve } from '../helpers/serviceRig.ts'

describe('text', () => {
  const text = 'The “small” fox said: naïve — über 3 € 😀😀! And then, then, then it went home to its den.'

  it('is cut before the first stop string, wherever tokens, drafts and characters end', async () => {
    const served = await serve(saying(text), {
      speculative: { method: 'mtp', numSpeculativeTokens: 3, adaptive: false },
    })
    const stop = fc
      .tuple(fc.nat(text.length - 1), fc.integer({ min: 1, max: 12 }))
      .map(([start, length]) => text.slice(start, start + length))
    const stops = fc.array(fc.oneof(stop, fc.constantFrom('absent', 'denx', ' ')), { minLength: 1, maxLength: 3 })
    await fc.assert(
      fc.asyncProperty(stops, async (strings) => {
        // The string that is complete first, and the longest of those.
        const ends = strings
          .filter((string) => text.includes(string))
          .map((string) => ({ start: text.indexOf(string), end: text.indexOf(string) + string.length }))
          .sort((x, y) => x.end - y.end || x.start - y.start)
        const { text: said, ids, finish_reason, end } = await served.answer('A', { stop: strings })
        expect(finish_reason).toBe('stop')
        expect(said).toBe(text.slice(0, ends[0]?.start))
        expect(end?.usage.completion_tokens).toBe(ids.length)
        if (ends[0]) {
          // The token that completes the string is kept, and none after it.
          expect(tokenizer.decode(ids.slice(0, -1)).replace(/\uFFFD+$/, '').length).toBeLessThan(ends[0].end)
          expect(tokenizer.decode(ids).length).toBeGreaterThanOrEqual(ends[0].end)
        }
      }),
      { numRuns: 60 },
    )
  })

  it('never shows half a character while it streams', async () => {
    const served = await serve(saying(text))
    await served.answer('A')
    const pieces = served.updates(0).map((update) => update.text)
    expect(pieces.join('')).toBe(text)
    expect(pieces.filter((piece) => piece.includes('\uFFFD'))).toEqual([])
    expect(pieces.filter((piece) => /\p{Surrogate}/u.test(piece))).toEqual([])
  })

  it('gives what was held back when the length ends it', async () => {
    const [emoji = 0] = tokenizer.encode('😀')
    const served = await serve(() => emoji)
    const held = await served.answer('A', { max_tokens: 1, stop: 'x' })
    expect(held.text).toBe(tokenizer.decode([emoji]))
    const partial = await serve(saying('then it we'))
    expect((await partial.answer('A', { stop: 'went' })).text).toBe('then it we')
  })
})
