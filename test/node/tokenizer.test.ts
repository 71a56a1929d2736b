/** Text to ids and back: the golden cases of the embedded model, laws over any text, and malformed files. */

import { Tokenizer as HubTokenizer } from '@huggingface/tokenizers'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Tokenizer } from '../../src/tokenizer/tokenizer.ts'
import { FAIRY_TALES, readJson, thrownBy } from '../helpers/modelFiles.ts'

const JSON_FILE = readJson(FAIRY_TALES, 'tokenizer.json')
const CONFIG = readJson(FAIRY_TALES, 'tokenizer_config.json')
const tokenizer = Tokenizer.fromFiles(JSON_FILE, CONFIG)

interface GoldenCase {
  readonly text: string
  readonly ids: readonly number[]
}
const golden = readJson(new URL('../golden/', import.meta.url), 'fairy-tales.json').tokenizer as readonly GoldenCase[]

const text = fc.string({ unit: 'binary', maxLength: 40 })
const ids = fc.array(fc.nat(tokenizer.vocabSize - 1), { maxLength: 40 })

describe('the embedded tokenizer', () => {
  it('has every golden case', () => {
    expect(golden).toHaveLength(23)
  })

  it.each(golden)('encodes and decodes $text', ({ text, ids }) => {
    expect(tokenizer.encode(text)).toEqual(ids)
    expect(tokenizer.decode(ids, { skipSpecial: false })).toBe(text.normalize('NFC'))
  })

  it('knows its vocabulary', () => {
    expect(tokenizer.vocabSize).toBe(4096)
    expect([...tokenizer.specialIds]).toEqual([4093, 4094, 4095])
    expect(tokenizer.bosTokenId).toBeUndefined()
    expect(tokenizer.byteLevel).toBe(true)
  })

  it('leaves special tokens out of the text unless asked', () => {
    const marked = tokenizer.encode('x<|im_start|>y')
    expect(tokenizer.decode(marked)).toBe('xy')
    expect(tokenizer.decode(marked, { skipSpecial: false })).toBe('x<|im_start|>y')
  })

  it('gives nothing for ids without a token', () => {
    expect(tokenizer.decode([])).toBe('')
    expect(tokenizer.decode([4096, 104, -1, 1e9, 105])).toBe('hi')
  })

  it('decodes what it encoded, for any text', () => {
    fc.assert(
      fc.property(text, (text) => {
        const encoded = tokenizer.encode(text)
        expect(encoded.every((id) => id >= 0 && id < tokenizer.vocabSize)).toBe(true)
        expect(tokenizer.decode(encoded, { skipSpecial: false })).toBe(text.normalize('NFC'))
      }),
    )
  })

  it('decodes any ids as the package does', () => {
    const hub = new HubTokenizer(JSON_FILE, CONFIG)
    fc.assert(
      fc.property(ids, fc.boolean(), (ids, skipSpecial) => {
        const shown = skipSpecial ? ids.filter((id) => !tokenizer.specialIds.has(id)) : ids
        const expected = shown.length > 0 ? hub.decode(shown) : ''
        expect(tokenizer.decode(ids, { skipSpecial })).toBe(expected)
      }),
    )
  })
})

describe('tokenizer_config.json', () => {
  const bos = '<|im_start|>'

  it('may be missing', () => {
    const bare = Tokenizer.fromFiles(JSON_FILE, undefined)
    expect(bare.encode('Once upon a time')).toEqual(tokenizer.encode('Once upon a time'))
    expect(bare.decode(bare.encode('a . b , c'))).toBe('a . b , c')
  })

  it('never has spaces before punctuation cleaned up', () => {
    const cleaning = Tokenizer.fromFiles(JSON_FILE, { ...CONFIG, clean_up_tokenization_spaces: true })
    expect(cleaning.decode(cleaning.encode("a . b , do n't"))).toBe("a . b , do n't")
  })

  it.each([bos, { content: bos, lstrip: false }])('has a BOS added where it says so: %j', (token) => {
    const adding = Tokenizer.fromFiles(JSON_FILE, { ...CONFIG, bos_token: token, add_bos_token: true })
    expect(adding.bosTokenId).toBe(4094)
    expect(adding.encode('hi')).toEqual([4094, ...tokenizer.encode('hi')])
    expect(Tokenizer.fromFiles(JSON_FILE, { ...CONFIG, bos_token: token }).encode('hi')).toEqual(tokenizer.encode('hi'))
  })

  it.each([null, 'no such token'])('is refused where it asks for a BOS that is %j', async (token) => {
    const config = { ...CONFIG, bos_token: token, add_bos_token: true }
    const { code, message } = await thrownBy(() => Tokenizer.fromFiles(JSON_FILE, config))
    expect(code).toBe('MODEL_FORMAT')
    expect(message).toContain('tokenizer_config.json: add_bos_token is true but bos_token names no token')
  })
})

describe('a malformed tokenizer.json', () => {
  const { decoder: _, ...withoutDecoder } = JSON_FILE
  const model = JSON_FILE.model as Record<string, unknown>
  it.each<[string, unknown, string]>([
    ['not an object', [], 'expected a JSON object'],
    ['null', null, 'expected a JSON object'],
    ['without decoder', withoutDecoder, '"decoder"'],
    ['without model', { ...JSON_FILE, model: null }, ''],
    ['of an unknown model', { ...JSON_FILE, model: { type: 'Nope' } }, 'Unknown TokenizerModel type: Nope'],
    ['of an unknown decoder', { ...JSON_FILE, decoder: { type: 'Nope' } }, 'Unknown Decoder type: Nope'],
    [
      'with an empty vocabulary',
      { ...JSON_FILE, added_tokens: [], model: { ...model, vocab: {} } },
      'vocabulary is empty',
    ],
    ['with a strange id', { ...JSON_FILE, model: { ...model, vocab: { a: 'x' } } }, 'token "a" has the id x'],
    ['without merges', { ...JSON_FILE, model: { ...model, merges: undefined } }, ''],
    ['without added tokens', { ...JSON_FILE, added_tokens: undefined }, ''],
    ['with a broken pattern', { ...JSON_FILE, pre_tokenizer: { type: 'Split', pattern: { Regex: '(' } } }, ''],
  ])('%s', async (_, json, expected) => {
    const { code, message } = await thrownBy(() => Tokenizer.fromFiles(json, CONFIG))
    expect(code).toBe('MODEL_FORMAT')
    expect(message).toMatch(/^tokenizer\.json: ./)
    expect(message).toContain(expected)
  })
})
