/** Streaming text: pieces that join to the whole, never a broken character, and stop strings found as in the whole text. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { StopMatcher, type StopScan } from '../../src/tokenizer/stopStrings.ts'
import { streamingDetokenizer } from '../../src/tokenizer/streamingDetokenizer.ts'
import { Tokenizer } from '../../src/tokenizer/tokenizer.ts'
import { FAIRY_TALES, readJson } from '../helpers/modelFiles.ts'

/** A vocabulary in SentencePiece's manner: words, letters and, for the rest, bytes; `fuse` joins before the space is stripped. */
function sentencePieceTokenizer(): Tokenizer {
  const words = ['<unk>', '<s>', '</s>', ...'▁abcdefghij\uFFFD', '▁a', 'ab', '▁ab', 'ede', 'héé', '日本']
  const byteTokens = Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, '0')}>`)
  const vocab = Object.fromEntries([...words, ...byteTokens].map((token, id) => [token, id]))
  const merges = [
    ['▁', 'a'],
    ['a', 'b'],
    ['▁', 'ab'],
  ]
  const special = (content: string, id: number) => ({ id, content, special: true, normalized: false })
  return Tokenizer.fromFiles(
    {
      added_tokens: [special('<unk>', 0), special('<s>', 1), special('</s>', 2)],
      normalizer: { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
      pre_tokenizer: null,
      post_processor: null,
      decoder: {
        type: 'Sequence',
        decoders: [
          { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
          { type: 'ByteFallback' },
          { type: 'Fuse' },
          { type: 'Strip', content: ' ', start: 1, stop: 0 },
        ],
      },
      model: { type: 'BPE', unk_token: '<unk>', byte_fallback: true, vocab, merges },
    },
    undefined,
  )
}

const byteLevel = Tokenizer.fromFiles(readJson(FAIRY_TALES, 'tokenizer.json'), undefined)
const sentencePiece = sentencePieceTokenizer()
const tokenizers = [
  ['byte-level', byteLevel],
  ['byte-fallback', sentencePiece],
] as const

const LONE_SURROGATE = /\p{Surrogate}/u

/** The pieces, the last one being what `flush` gave. */
function stream(tokenizer: Tokenizer, ids: readonly number[], skipSpecial = true): string[] {
  const detokenizer = streamingDetokenizer(tokenizer, skipSpecial)
  return [...ids.map((id) => detokenizer.push(id)), detokenizer.flush()]
}

const unicode = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 30 }),
  fc.string({
    unit: fc.constantFrom('a', 'b', ' ', '日', 'é', '👩', '\u200D', '🎉', '\uFEFF', 'ab', 'e\u0301'),
    maxLength: 40,
  }),
)

describe.each(tokenizers)('a %s detokenizer', (_, tokenizer) => {
  const anyId = fc.nat(tokenizer.vocabSize + 3)
  /** mostly single bytes, so that incomplete and impossible sequences are common */
  const byteId = fc.nat(255).map((byte) => (tokenizer.byteLevel ? byte : tokenizer.vocabSize - 256 + byte))
  const special = fc.constantFrom(...tokenizer.specialIds)
  const ids = fc.array(fc.oneof(anyId, byteId, special), { maxLength: 60 })

  it('gives pieces that join to the whole text, for any ids', () => {
    fc.assert(
      fc.property(ids, fc.boolean(), (ids, skipSpecial) => {
        expect(stream(tokenizer, ids, skipSpecial).join('')).toBe(tokenizer.decode(ids, { skipSpecial }))
      }),
      { numRuns: 500 },
    )
  })

  it('never shows a broken character where the text has none', () => {
    fc.assert(
      fc.property(unicode, (text) => {
        const encoded = tokenizer.encode(text)
        const pieces = stream(tokenizer, encoded, false)
        expect(pieces.join('')).toBe(tokenizer.decode(encoded, { skipSpecial: false }))
        expect(pieces.join('').includes('\uFFFD')).toBe(text.includes('\uFFFD'))
        for (const piece of pieces) expect(piece).not.toMatch(LONE_SURROGATE)
      }),
      { numRuns: 500 },
    )
  })

  it('gives each character with the token that completes it', () => {
    const encoded = tokenizer.encode('a日b')
    const pieces = stream(tokenizer, encoded)
    expect(pieces.filter((piece) => piece !== '')).toEqual(['a', '日', 'b'])
    expect(pieces.at(-1)).toBe('')
  })

  it('holds an incomplete character until the end, and then shows that it is one', () => {
    const cut = tokenizer.encode('a🎉').slice(0, -1)
    expect(stream(tokenizer, cut)).toEqual(['a', '', '', '', '\uFFFD'])
  })

  it('keeps an incomplete character across tokens that are not shown', () => {
    const [first, ...rest] = tokenizer.encode('🎉')
    const [mark] = tokenizer.specialIds
    for (const unseen of [mark as number, tokenizer.vocabSize]) {
      const gap = Array.from({ length: 40 }, () => unseen)
      expect(stream(tokenizer, [first as number, ...gap, ...rest]).join('')).toBe('🎉')
      expect(stream(tokenizer, [first as number, ...gap]).join('')).toBe('\uFFFD')
    }
  })
})

it('strips the leading space of a whole text once, not of each window', () => {
  const encoded = sentencePiece.encode(' ab ab'.repeat(40))
  expect(stream(sentencePiece, encoded).join('')).toBe(`ab ab ab${' ab'.repeat(77)}`)
})

it('decodes a bounded number of tokens per push, also when nothing settles', () => {
  const decode = sentencePiece.decode.bind(sentencePiece)
  let longest = 0
  const counting: Tokenizer = Object.create(sentencePiece, {
    byteLevel: { value: false },
    specialIds: { value: sentencePiece.specialIds },
    has: { value: (id: number) => sentencePiece.has(id) },
    decode: {
      value: (ids: readonly number[]) => {
        longest = Math.max(longest, ids.length)
        return decode(ids, { skipSpecial: false })
      },
    },
  })
  const stray = sentencePiece.vocabSize - 256 + 0x80
  const pieces = stream(
    counting,
    Array.from({ length: 300 }, () => stray),
  )
  expect(pieces.join('')).toBe('\uFFFD'.repeat(300))
  expect(longest).toBeLessThanOrEqual(17)
})

/** The definition, on the whole text: complete first, then longest. */
function naiveStop(text: string, stops: readonly string[]): { text: string; stop: string; end: number } | undefined {
  for (let end = 1; end <= text.length; end++) {
    const complete = stops.filter((stop) => text.slice(0, end).endsWith(stop)).sort((a, b) => b.length - a.length)
    const [stop] = complete
    if (stop !== undefined) return { text: text.slice(0, end - stop.length), stop, end }
  }
  return undefined
}

describe('StopMatcher', () => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', '\n', '🎉'), maxLength: 12 })
  const stops = fc.array(
    letters.filter((stop) => stop !== ''),
    { maxLength: 4 },
  )
  /** the text as pieces, and the pieces as calls */
  const calls = fc.array(fc.array(letters, { maxLength: 4 }), { maxLength: 8 })

  it('finds what a search of the whole text finds, however it is cut', () => {
    fc.assert(
      fc.property(stops, calls, (stops, calls) => {
        const expected = naiveStop(calls.flat().join(''), stops)
        const matcher = new StopMatcher(stops)
        let given = ''
        let seen = 0
        let scan: StopScan | undefined
        for (const pieces of calls) {
          scan = matcher.push(pieces)
          given += scan.text
          if (scan.match) {
            const before = seen + pieces.slice(0, scan.match.pieces - 1).join('').length
            const after = seen + pieces.slice(0, scan.match.pieces).join('').length
            expect(expected?.end).toBeGreaterThan(before)
            expect(expected?.end).toBeLessThanOrEqual(after)
            break
          }
          seen += pieces.join('').length
        }
        expect(scan?.match?.stop).toBe(expected?.stop)
        expect(given + matcher.flush()).toBe(expected ? expected.text : calls.flat().join(''))
      }),
      { numRuns: 2000 },
    )
  })

  it('holds back no more than what might begin a stop string', () => {
    fc.assert(
      fc.property(stops, calls, (stops, calls) => {
        const matcher = new StopMatcher(stops)
        let given = ''
        let whole = ''
        for (const pieces of calls) {
          const scan = matcher.push(pieces)
          if (scan.match) return
          given += scan.text
          whole += pieces.join('')
          const held = whole.slice(given.length)
          expect(whole.startsWith(given)).toBe(true)
          expect(held === '' || stops.some((stop) => stop.startsWith(held))).toBe(true)
        }
      }),
      { numRuns: 1000 },
    )
  })

  it('says which piece completed the string', () => {
    const matcher = new StopMatcher(['\n\n', 'END'])
    expect(matcher.push(['One', '\n', 'E', 'N'])).toEqual({ text: 'One\n' })
    expect(matcher.push(['', 'D and', ' more'])).toEqual({ text: '', match: { stop: 'END', pieces: 2 } })
    expect(matcher.flush()).toBe('')
    expect(() => matcher.push(['x'])).toThrow('nothing is pushed after the match')
  })

  it('lets everything through where there is nothing to find', () => {
    expect(new StopMatcher([]).push(['a', 'b'])).toEqual({ text: 'ab' })
    expect(() => new StopMatcher([''])).toThrow('a stop string is not empty')
  })
})
