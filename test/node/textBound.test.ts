/** The bound on a text's tokens: never above what the tokenizer gives, and enough to refuse a megabyte unread. */

import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { BYTE_CHARACTERS, bytesOfToken } from '../../src/tokenizer/byteLevel.ts'
import { Tokenizer } from '../../src/tokenizer/tokenizer.ts'
import { FAIRY_TALES, readJson } from '../helpers/modelFiles.ts'
import { endless, tokenizer } from '../helpers/scriptedModel.ts'
import { serve } from '../helpers/serviceRig.ts'

const JSON_FILE = readJson(FAIRY_TALES, 'tokenizer.json')
const MODEL = JSON_FILE.model as Record<string, unknown>
const VOCAB = MODEL.vocab as Record<string, number>

/** Texts that get few tokens for their length: the longest tokens, decomposed characters, special tokens, runs. */
const longest = Array.from({ length: tokenizer.vocabSize }, (_, id) => tokenizer.decode([id], { skipSpecial: false }))
  .sort((a, b) => b.length - a.length)
  .slice(0, 40)
const piece = fc.oneof(
  fc.constantFrom(...longest, '<|endoftext|>', ' ', '\n', 'the'),
  fc.string({ unit: 'binary', maxLength: 12 }).map((text) => text.normalize('NFD')),
  fc.constantFrom('Ǖ', 'ᾂ', '각', 'ΐ', 'é', 'K', '\uD800').map((character) => character.normalize('NFD')),
)
const text = fc
  .array(fc.tuple(piece, fc.integer({ min: 1, max: 30 })), { maxLength: 6 })
  .map((pieces) => pieces.map(([piece, times]) => piece.repeat(times)).join(''))

/** tokenizer.json with other steps. */
function tokenizerWith(changes: Record<string, unknown>, model: Record<string, unknown> = {}): Tokenizer {
  return Tokenizer.fromFiles({ ...JSON_FILE, ...changes, model: { ...MODEL, ...model } }, {})
}

/** Characters become `▁`-tokens or bytes, as in SentencePiece models. */
function fallingBack(): Tokenizer {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`)
  const vocab = Object.fromEntries([...bytes, '▁', 'a', '▁a', '▁▁', '▁▁▁▁'].map((token, id) => [token, id]))
  const merges = ['▁ a', '▁ ▁', '▁▁ ▁▁']
  const normalizers = [
    { type: 'Prepend', prepend: '▁' },
    { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
  ]
  return tokenizerWith(
    {
      normalizer: { type: 'Sequence', normalizers },
      pre_tokenizer: null,
      decoder: { type: 'Sequence', decoders: [{ type: 'ByteFallback' }, { type: 'Fuse' }] },
      post_processor: null,
      added_tokens: [],
    },
    { vocab, merges, byte_fallback: true },
  )
}

/** Whose longest token is the text that NFC makes shortest: four times Ǖ. */
function composing(): Tokenizer {
  const [a = '', b = ''] = bytesAsCharacters('Ǖ')
  const one = a + b
  const vocab = Object.fromEntries(
    [...BYTE_CHARACTERS, one, one.repeat(2), one.repeat(4)].map((token, id) => [token, id]),
  )
  const merges = [`${a} ${b}`, `${one} ${one}`, `${one.repeat(2)} ${one.repeat(2)}`]
  return tokenizerWith({ added_tokens: [] }, { vocab, merges })
}

function bytesAsCharacters(text: string): string[] {
  const characterOf = new Map(BYTE_CHARACTERS.map((character) => [bytesOfToken(character)[0], character]))
  return [...new TextEncoder().encode(text)].map((byte) => characterOf.get(byte) ?? '')
}

/** Of one letter: whatever else is a question mark. */
function unknowing(): Tokenizer {
  const steps = {
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: { type: 'Fuse' },
    added_tokens: [],
  }
  return tokenizerWith(steps, { vocab: { '?': 0, a: 1 }, merges: [], unk_token: '?' })
}

describe('the least number of tokens of a text', () => {
  it.each([
    ['the embedded tokenizer', tokenizer],
    ['one that falls back to bytes', fallingBack()],
    ['one that knows composed characters', composing()],
    ['one that knows one letter', unknowing()],
  ])('is never more than %s gives', (_name, tokenizer) => {
    fc.assert(
      fc.property(text, (text) => {
        const least = tokenizer.leastTokens(text.length)
        expect(least).toBeLessThanOrEqual(tokenizer.encode(text).length)
        if (text !== '') expect(least).toBeGreaterThan(0)
      }),
      { numRuns: 400 },
    )
  })

  it('counts with NFC, which makes a byte of at most one and a half units', () => {
    let most = 0
    for (let code = 0; code < 0x110000; code++) {
      if (code >= 0xd800 && code < 0xe000) continue
      const units = String.fromCodePoint(code).normalize('NFD')
      most = Math.max(most, units.length / Buffer.byteLength(units.normalize('NFC')))
    }
    expect(most).toBe(1.5)
  })

  const split = { type: 'Split', pattern: { String: ' ' }, behavior: 'Removed', invert: false }
  it.each<[string, Record<string, unknown>, Record<string, unknown>?]>([
    ['a normalizer that strips', { normalizer: { type: 'Strip', strip_left: true, strip_right: true } }],
    ['a normalizer that replaces by less', { normalizer: { type: 'Replace', pattern: { String: 'x' }, content: '' } }],
    ['a normalizer by a pattern', { normalizer: { type: 'Replace', pattern: { Regex: ' +' }, content: ' ' } }],
    ['a pre-tokenizer that removes', { pre_tokenizer: { type: 'Sequence', pretokenizers: [split] } }],
    ['a pre-tokenizer that picks', { pre_tokenizer: { type: 'Whitespace' } }],
    [
      'an added token that takes spaces',
      { added_tokens: [{ id: 4093, content: '<|e|>', special: true, lstrip: true }] },
    ],
    [
      'a byte that is no token',
      {},
      { vocab: Object.fromEntries(Object.entries(VOCAB).filter(([name]) => name !== 'é')) },
    ],
    ['unknown pieces fused', {}, { unk_token: 'a', fuse_unk: true }],
  ])('is not known of %s, so nothing is refused', (_what, changes, model) => {
    expect(tokenizerWith(changes, model).leastTokens(1e9)).toBe(0)
  })
})

describe('a text beyond maxModelLen', () => {
  it('is refused by its length, without being tokenised', async () => {
    const encode = vi.spyOn(tokenizer, 'encode')
    const served = await serve(endless, { maxModelLen: 64, kvCacheTokens: 256 })
    encode.mockClear()
    const outcome = await served.service.submit(100, 'Once upon a time '.repeat(60_000), {})
    expect(encode).not.toHaveBeenCalled()
    expect(outcome).toMatchObject({ ok: false, error: { code: 'INVALID_REQUEST', details: { field: 'prompt' } } })
    if (!outcome.ok) expect(outcome.error.message).toMatch(/1020000 characters.* at least.*maxModelLen 64: shorten/)
    expect((await served.answer('Once upon a time', { max_tokens: 2 })).ids).toHaveLength(2)
    expect(encode).toHaveBeenCalledTimes(1)
    encode.mockRestore()
  })

  it('is taken where it fits, however long its tokens are', async () => {
    const served = await serve(endless, { maxModelLen: 64, kvCacheTokens: 256 })
    const [longestToken = ''] = longest
    const id = tokenizer.encode(longestToken)
    expect(id).toHaveLength(1)
    const prompt = longestToken.repeat(63)
    const ids = tokenizer.encode(prompt)
    const { end } = await served.answer(prompt, { max_tokens: 1 })
    expect(end?.usage.prompt_tokens).toBe(ids.length)
  })
})
