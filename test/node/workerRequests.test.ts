/** What a request may ask for: the fields and prompts that are refused, the defaults that fill in, how it ends. */

import { describe, expect, it } from 'vitest'
import { GREEDY } from '../../src/core/samplingParams.ts'
import type { Prompt } from '../../src/protocol/request.ts'
import { EOS, endless, MODEL_URL, tokenizer, VOCAB_SIZE } from '../helpers/scriptedModel.ts'
import { serve, unwrap } from '../helpers/serviceRig.ts'

/** [field, value, what the message says] */
const BAD_FIELDS: readonly (readonly [string, unknown, RegExp])[] = [
  ...[0, -1, 1.5, '8', null].map((value) => ['max_tokens', value, /a positive integer/] as const),
  ...[-0.1, 101, Number.NaN, Number.POSITIVE_INFINITY, '1', null].map(
    (value) => ['temperature', value, /a number from 0 to 100/] as const,
  ),
  ...[0, -0.5, 1.01, Number.NaN, '1'].map((value) => ['top_p', value, /above 0, up to 1/] as const),
  ...[-2, 2.5, '4', Number.NaN].map((value) => ['top_k', value, /a positive integer, or 0 or -1/] as const),
  ...[-0.1, 1.1, '0', Number.NaN].map((value) => ['min_p', value, /a number from 0 to 1/] as const),
  ...[0, -1, 0.009, 101, '1', Number.NaN].map(
    (value) => ['repetition_penalty', value, /a number from 0\.01 to 100/] as const,
  ),
  ...[-2.1, 2.1, '1', null].flatMap((value) => [
    ['presence_penalty', value, /a number from -2 to 2/] as const,
    ['frequency_penalty', value, /a number from -2 to 2/] as const,
  ]),
  ...[
    7,
    null,
    [],
    [[1, 2]],
    new Map([[1, 2]]),
    { [VOCAB_SIZE]: 1 },
    { '-1': 1 },
    { 1.5: 1 },
    { '01': 1 },
    { a: 1 },
    { 1: 100.5 },
    { 1: -101 },
    { 1: '2' },
    { 1: Number.NaN },
    Object.fromEntries(Array.from({ length: 301 }, (_, id) => [id, 1])),
  ].map((value) => ['logit_bias', value, /at most 300 ids of the vocabulary, each .* from -100 to 100/] as const),
  ...[-1, 0.5, 2 ** 53, '7'].map((value) => ['seed', value, /from 0 to 2\^53 - 1/] as const),
  ...['', ['.', ''], [3], 7, null].map((value) => ['stop', value, /none of them empty/] as const),
  ...[7, [-1], [0.5], [VOCAB_SIZE], ['7']].map((value) => ['stop_token_ids', value, /ids of the vocabulary/] as const),
  ['ignore_eos', 1, /true or false/],
  ...[0, -1, 1.5, '4', null, Number.POSITIVE_INFINITY].map((value) => ['n', value, /a positive integer/] as const),
  ...[-1001, 1001, 0.5, '1', null, Number.NaN].map(
    (value) => ['priority', value, /an integer from -1000 to 1000/] as const,
  ),
  ...['', 'x'.repeat(129), 7, null, ['x']].map(
    (value) => ['cache_salt', value, /a non-empty string of at most 128 characters/] as const,
  ),
  ['max_new_tokens', 4, /the fields are max_tokens/],
  ['toString', 4, /the fields are max_tokens/],
]

/** [prompt, what the message says] */
const BAD_PROMPTS: readonly (readonly [unknown, RegExp])[] = [
  ['', /no tokens/],
  [{ prompt_token_ids: [] }, /no tokens/],
  [{ prompt_token_ids: [1, VOCAB_SIZE] }, /4096 is outside the vocabulary/],
  [{ prompt_token_ids: [-1] }, /-1 is outside the vocabulary/],
  [{ prompt_token_ids: [1.5] }, /1\.5 is outside the vocabulary/],
  [{ prompt_token_ids: ['1'] }, /outside the vocabulary/],
  [{ prompt_token_ids: 'abc' }, /a string or \{ prompt_token_ids \}/],
  [{}, /a string or \{ prompt_token_ids \}/],
  [null, /a string or \{ prompt_token_ids \}/],
  [7, /a string or \{ prompt_token_ids \}/],
  [{ prompt_token_ids: Array(1024).fill(5) }, /1024 tokens.*maxModelLen 1024/],
]

describe('requests', () => {
  it.each(BAD_FIELDS)('refuses %s = %s and goes on', async (field, value, message) => {
    const { service } = await serve(endless)
    const outcome = await service.submit(0, 'A', { [field]: value })
    expect(outcome).toMatchObject({ ok: false, error: { code: 'INVALID_REQUEST', details: { field } } })
    if (!outcome.ok) expect(outcome.error.message).toMatch(message)
    expect(await service.submit(0, 'A', { max_tokens: 1 })).toEqual({ ok: true, value: null })
  })

  it.each(BAD_PROMPTS)('refuses the prompt %j and goes on', async (prompt, message) => {
    const { service } = await serve(endless)
    const outcome = await service.submit(0, prompt as Prompt, {})
    expect(outcome).toMatchObject({ ok: false, error: { code: 'INVALID_REQUEST' } })
    if (!outcome.ok) expect(outcome.error.message).toMatch(message)
    expect(await service.submit(0, 'A', { max_tokens: 1 })).toEqual({ ok: true, value: null })
  })

  it('refuses an id that is in use, and takes it again after the end', async () => {
    const served = await serve(endless)
    const { service, loader } = served
    loader.runner?.pause()
    unwrap(await service.submit(5, 'A', { n: 2, max_tokens: 2 }))
    const refused = await service.submit(5, 'A', {})
    expect(refused).toMatchObject({ ok: false, error: { code: 'INVALID_REQUEST', details: { id: 5 } } })
    loader.runner?.resume()
    await served.ended(1)
    unwrap(await service.submit(5, 'A', { max_tokens: 1 }))
    await served.ended(2)
    expect(served.updates(5).filter(({ error }) => error)).toEqual([])
  })

  it('takes ids alone from a model without a tokenizer', async () => {
    const service = await serve(endless, {}, `${MODEL_URL}?ids`)
    expect(await service.submit('A')).toMatchObject({ ok: false, error: { code: 'INVALID_REQUEST' } })
    const stop = await service.submit({ prompt_token_ids: [1] }, { stop: '.' })
    expect(stop).toMatchObject({ ok: false, error: { code: 'INVALID_REQUEST' } })
    unwrap(await service.service.submit(9, { prompt_token_ids: [1] }, { max_tokens: 3 }))
    await service.ended(1)
    expect(service.updates(9).map(({ text }) => text)).toEqual(['', '', ''])
    expect(service.updates(9).flatMap(({ token_ids }) => token_ids)).toHaveLength(3)
  })

  it('fills in what the model recommends, and draws a seed', async () => {
    const served = await serve(endless)
    const plain = await served.answer('A', { max_tokens: 1 })
    const again = await served.answer('A', { max_tokens: 1 })
    const bias = Object.fromEntries(Array.from({ length: 300 }, (_, id) => [String(id), -100]))
    const penalties = { repetition_penalty: 1.2, presence_penalty: -2, frequency_penalty: 0.5, logit_bias: bias }
    const asked = { temperature: 0.5, top_k: -1, top_p: 1, min_p: 0.1, seed: 2 ** 53 - 1, max_tokens: 1, ...penalties }
    const given = await served.answer('A', asked)
    await served.answer('A', { temperature: 1e-6, max_tokens: 1 })
    const sampling = served.loader.runner?.tableWrites.map((write) => write.sampling)
    expect(sampling?.[0]).toEqual({
      ...GREEDY,
      temperature: 0.8,
      topK: 50,
      topP: 0.95,
      seed: plain.end?.seed,
    })
    expect(plain.end?.seed).not.toBe(again.end?.seed)
    expect(Number.isSafeInteger(plain.end?.seed)).toBe(true)
    expect(sampling?.[2]).toEqual({
      ...GREEDY,
      temperature: 0.5,
      minP: 0.1,
      repetitionPenalty: 1.2,
      presencePenalty: -2,
      frequencyPenalty: 0.5,
      logitBias: Array.from({ length: 300 }, (_, id) => [id, -100]),
      seed: 2 ** 53 - 1,
    })
    expect(given.end?.seed).toBe(2 ** 53 - 1)
    expect(sampling?.[3]?.temperature).toBe(0)
  })

  it('refuses penalties where no memory was planned for them, naming the option', async () => {
    const { service } = await serve(endless, { penalties: false })
    const wishes = [
      { repetition_penalty: 1.1 },
      { presence_penalty: 1 },
      { frequency_penalty: -1 },
      { logit_bias: { 3: 1 } },
    ]
    for (const wish of wishes) {
      const outcome = await service.submit(0, 'A', wish)
      expect(outcome).toMatchObject({ ok: false, error: { code: 'INVALID_REQUEST' } })
      if (!outcome.ok) expect(outcome.error.message).toMatch(/penalties: true/)
    }
    const neutral = { repetition_penalty: 1, presence_penalty: 0, frequency_penalty: 0, logit_bias: {}, min_p: 0.1 }
    expect(await service.submit(0, 'A', { ...neutral, max_tokens: 1 })).toEqual({ ok: true, value: null })
  })

  it('tells the runner what a request with penalties knows, and of others nothing', async () => {
    const served = await serve(endless)
    const prompt = { prompt_token_ids: [9, 8, 9] }
    await served.answer(prompt, { max_tokens: 1, min_p: 0.5 })
    await served.answer(prompt, { max_tokens: 1, frequency_penalty: 1 })
    await served.answer(prompt, { max_tokens: 1, logit_bias: { 4: -1 } })
    expect(served.loader.runner?.tableWrites.map(({ history }) => history)).toEqual([undefined, [9, 8, 9], [9, 8, 9]])
  })

  it('generates what fits, and no more than that', async () => {
    const served = await serve(endless, { maxModelLen: 64, kvCacheTokens: 256 })
    const prompt = { prompt_token_ids: Array(60).fill(5) }
    const open = await served.answer(prompt)
    const capped = await served.answer(prompt, { max_tokens: 100 })
    expect(open).toMatchObject({ finish_reason: 'length', end: { usage: { total_tokens: 64 } } })
    expect(open.ids).toHaveLength(4)
    expect(capped.finish_reason).toBe('length')
    expect(capped.ids).toHaveLength(4)
    expect((await served.answer({ prompt_token_ids: Array(63).fill(5) })).ids).toHaveLength(1)
  })

  it('ends at the end-of-text token, at stop ids, or goes on if asked to', async () => {
    const [a = 0, b = 0, c = 0] = tokenizer.encode('Once upon a')
    const served = await serve((_id, index) => [a, b, c, EOS][index % 4] ?? EOS)
    const whole = tokenizer.decode([a, b, c])
    expect(await served.answer('A')).toMatchObject({ text: whole, ids: [a, b, c, EOS], finish_reason: 'stop' })
    const stopped = await served.answer('A', { stop_token_ids: [b] })
    expect(stopped).toMatchObject({ text: tokenizer.decode([a]), ids: [a, b], finish_reason: 'stop' })
    const on = await served.answer('A', { ignore_eos: true, max_tokens: 6 })
    expect(on).toMatchObject({ ids: [a, b, c, EOS, a, b], finish_reason: 'length' })
    expect(on.text).toBe(tokenizer.decode([a, b, c, a, b]))
  })
})
