/** What messages say of a caller's mistake: the name that was meant, the value that was given. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { OPTION_NUMBERS, REQUEST_NUMBERS } from '../../src/protocol/ranges.ts'
import { nearestName } from '../../src/util/nearestName.ts'
import { shownValue } from '../../src/util/shownValue.ts'

const FIELDS = [...Object.keys(REQUEST_NUMBERS), 'stop', 'logit_bias', 'ignore_eos', 'cache_salt', 'stop_token_ids']
const OPTIONS = [...Object.keys(OPTION_NUMBERS), 'speculative', 'kvCacheDtype', 'debug', 'onProgress']
const long = (names: readonly string[]) => fc.constantFrom(...names.filter((name) => name.length > 5))

describe('the nearest name', () => {
  it('is the same name in another spelling', () => {
    const camel = (name: string) => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase())
    const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
    for (const field of FIELDS) expect(nearestName(camel(field), FIELDS)).toBe(field)
    for (const option of OPTIONS) expect(nearestName(snake(option), OPTIONS)).toBe(option)
  })

  it('is found after one slip: a letter dropped, doubled or swapped with the next', () => {
    fc.assert(
      fc.property(long([...FIELDS, ...OPTIONS]), fc.nat(), fc.constantFrom(0, 1, 2), (name, at, slip) => {
        const i = at % (name.length - 1)
        const [a = '', b = ''] = [name[i], name[i + 1]]
        const wrong = name.slice(0, i) + [b, a + a + b, b + a][slip] + name.slice(i + 2)
        const near = nearestName(wrong, [...FIELDS, ...OPTIONS])
        // One slip may make two names equally near.
        expect(near === name || nearestName(name, [near ?? '']) === near).toBe(true)
      }),
    )
  })

  it.each(['mirostat', 'batchSize', 'toString', '__proto__', '', 'k', 'x'.repeat(1e6)])(
    'of %s there is none',
    (name) => {
      expect(nearestName(name, FIELDS)).toBeUndefined()
    },
  )

  it.each([
    ['temprature', 'temperature'],
    ['max_new_tokens', 'max_tokens'],
    ['topK', 'top_k'],
    ['stops', 'stop'],
    ['sotp', 'stop'],
    ['frequencyPenalty', 'frequency_penalty'],
  ])('of %s is %s', (name, meant) => {
    expect(nearestName(name, FIELDS)).toBe(meant)
  })
})

describe('a value in a message', () => {
  it('is short and harmless, whatever it is', () => {
    const anything = fc.anything({
      withMap: true,
      withSet: true,
      withTypedArray: true,
      withNullPrototype: true,
      withBigInt: true,
    })
    fc.assert(
      fc.property(fc.oneof(anything, fc.string({ minLength: 500, maxLength: 1000 }), fc.array(anything)), (value) => {
        expect(shownValue(value).length).toBeLessThan(1000)
      }),
    )
    expect(shownValue({ toString: 1, valueOf: 2 })).toBe('{ toString: 1, valueOf: 2 }')
  })

  it.each<[unknown, string]>([
    [1.5, '1.5'],
    [null, 'null'],
    ['a', "'a'"],
    ['y'.repeat(61), `'${'y'.repeat(60)}…'`],
    [[1, 'a', []], "[1, 'a', an Array]"],
    [{ a: 1, b: {} }, '{ a: 1, b: an object }'],
    [Array(9).fill(0), '[0, 0, 0, 0, 0, 0, 0, 0, … 9 entries]'],
    [new Map(), 'a Map'],
    [new AbortController(), 'an AbortController'],
    [() => 1, 'a function'],
  ])('%o is %s', (value, shown) => {
    expect(shownValue(value)).toBe(shown)
  })
})
