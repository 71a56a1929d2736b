/** Any value in any field of a request: it is refused by the field's name, or it is what reaches the device's words. */

import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { LLM } from '../../src/api/llm.ts'
import type { TableWrite } from '../../src/core/stepPlan.ts'
import { WeirError } from '../../src/protocol/errors.ts'
import type { GenerateOptions } from '../../src/protocol/options.ts'
import { REQUEST_NUMBERS } from '../../src/protocol/ranges.ts'
import type { GenerationResult, SamplingFields } from '../../src/protocol/request.ts'
import { tableRowWords } from '../../src/runner/packPlan.ts'
import { anyValue } from '../helpers/anyValue.ts'
import { connect, WAYS } from '../helpers/connect.ts'
import { endless, MockLoader, VOCAB_SIZE } from '../helpers/scriptedModel.ts'

const MAX_MODEL_LEN = 8
const MAX_SEQS = 4
const MOST_DRAFTS = 2
const [, open] = WAYS[0] ?? []

/** What a request was and what came of it. */
interface Accepted {
  readonly value: never
  readonly result: GenerationResult
  readonly write: TableWrite
  readonly words: Uint32Array
  readonly floats: Float32Array
}

interface Meaning {
  /** values that are served */
  readonly valid: (value: unknown) => boolean
  /** that it is what the device and the answer have */
  readonly holds?: (accepted: Accepted) => void
}

const between = (value: unknown, least: number, most: number) =>
  typeof value === 'number' && value >= least && value <= most
const integer = (value: unknown, least: number, most: number) => between(value, least, most) && Number.isInteger(value)
const isId = (value: unknown) => integer(value, 0, VOCAB_SIZE - 1)
const isText = (value: unknown) => typeof value === 'string' && value !== ''

const MEANINGS: Readonly<Record<keyof SamplingFields, Meaning>> = {
  max_tokens: {
    valid: (value) => integer(value, 1, 2 ** 53 - 1),
    holds: ({ value, result }) => expect(result.token_ids).toHaveLength(Math.min(value, MAX_MODEL_LEN - 1)),
  },
  temperature: {
    valid: (value) => between(value, 0, 100),
    holds: ({ value, floats }) => {
      expect(floats[8]).toBe(value < 1e-5 ? 0 : Math.fround(value))
      expect(value < 1e-5 || Number(floats[8]) >= Math.fround(1e-5)).toBe(true)
    },
  },
  top_p: {
    valid: (value) => between(value, Number.MIN_VALUE, 1),
    holds: ({ value, floats }) => expect(floats[9]).toBe(Math.fround(value)),
  },
  top_k: {
    valid: (value) => integer(value, -1, 2 ** 53 - 1),
    // 0 is off, which is what all of the vocabulary means.
    holds: ({ value, words }) => expect(words[10]).toBe(value > 0 && value < VOCAB_SIZE ? value : 0),
  },
  min_p: {
    valid: (value) => between(value, 0, 1),
    // The margin below the largest logit at the model's temperature; negative is off.
    holds: ({ value, floats }) => {
      expect(floats[16]).toBeCloseTo(value > 0 ? -0.8 * Math.log(value) : -1, 3)
      expect(Number.isFinite(floats[16])).toBe(true)
    },
  },
  repetition_penalty: {
    valid: (value) => between(value, 0.01, 100),
    holds: ({ value, floats }) =>
      expect([floats[17], floats[18]]).toEqual([Math.fround(value), Math.fround(1 / value)]),
  },
  presence_penalty: {
    valid: (value) => between(value, -2, 2),
    holds: ({ value, floats }) => expect(floats[19]).toBe(Math.fround(value)),
  },
  frequency_penalty: {
    valid: (value) => between(value, -2, 2),
    holds: ({ value, floats }) => expect(floats[20]).toBe(Math.fround(value)),
  },
  seed: {
    valid: (value) => integer(value, 0, 2 ** 53 - 1),
    holds: ({ value, words, result }) => {
      expect(Number(words[12]) + Number(words[13]) * 2 ** 32).toBe(value + 0)
      expect(result.seed).toBe(value)
    },
  },
  n: {
    valid: (value) => integer(value, 1, MAX_SEQS),
    holds: ({ value, result }) => expect(result.choices).toHaveLength(value),
  },
  priority: { valid: (value) => integer(value, -1000, 1000) },
  num_speculative_tokens: {
    valid: (value) => integer(value, 0, MOST_DRAFTS),
    holds: ({ value, result }) => {
      const verified = result.usage.speculation?.verified_by_position ?? []
      expect(verified.slice(value).every((count) => count === 0)).toBe(true)
    },
  },
  ignore_eos: { valid: (value) => typeof value === 'boolean' },
  cache_salt: { valid: (value) => isText(value) && String(value).length <= 128 },
  stop: {
    valid: (value) => {
      const list = listOf(value)
      return list ? list.every(isText) : isText(value)
    },
  },
  stop_token_ids: { valid: isIdList },
  logit_bias: {
    valid: (value) =>
      typeof value === 'object' &&
      Object.prototype.toString.call(value) === '[object Object]' &&
      Object.entries(value ?? {}).every(
        ([id, bias]) => isId(Number(id)) && /^\d+$/.test(id) && between(bias, -100, 100),
      ),
    holds: ({ value, write }) =>
      expect(write.sampling.logitBias).toEqual(Object.entries(value).map(([id, bias]) => [Number(id), bias])),
  },
}

/** Typed arrays are lists too: an empty one is an empty list of anything. */
function listOf(value: unknown): unknown[] | undefined {
  const typed = ArrayBuffer.isView(value) && !(value instanceof DataView)
  return typed || Array.isArray(value) ? Array.from(value as unknown[]) : undefined
}

function isIdList(value: unknown): boolean {
  return listOf(value)?.every(isId) ?? false
}

describe('any value', () => {
  let loader: MockLoader
  let llm: LLM

  beforeAll(async () => {
    loader = new MockLoader(endless)
    if (!open) throw new Error('there is a way')
    llm = await connect(open(loader), {
      maxModelLen: MAX_MODEL_LEN,
      maxNumSeqs: MAX_SEQS,
      kvCacheTokens: 256,
      schedulingPolicy: 'priority',
      speculative: { method: 'mtp', numSpeculativeTokens: MOST_DRAFTS, adaptive: false },
    })
  })
  afterAll(() => llm.dispose())

  /** The answer, or why there is none. Nothing but a WeirError of the Generation comes, and never here. */
  async function outcome(options: object, prompt: unknown): Promise<GenerationResult | WeirError> {
    const generation = llm.generate(prompt as string, options as GenerateOptions)
    try {
      return await generation.result()
    } catch (thrown) {
      if (thrown instanceof WeirError) return thrown
      throw thrown
    }
  }

  function expectRefusal(error: WeirError, field: string, value: unknown): void {
    const unservable = field === 'n' && integer(value, MAX_SEQS + 1, 2 ** 53 - 1)
    expect(error.code, error.message).toBe(unservable ? 'UNSERVABLE_REQUEST' : 'INVALID_REQUEST')
    expect(error.message).toContain(field)
    expect(error.message.length).toBeLessThan(1000)
    if (field !== 'logit_bias') expect(error.details.field).toMatch(new RegExp(`^${field}`))
  }

  async function check(field: keyof SamplingFields, value: unknown): Promise<void> {
    const { valid, holds } = MEANINGS[field]
    const answer = await outcome({ max_tokens: 2, seed: 1, [field]: value }, { prompt_token_ids: [5] })
    const unset = value === null || value === undefined
    if (!unset && !valid(value)) {
      if (!(answer instanceof WeirError)) throw new Error(`${field} = ${String(value)} was served`)
      return expectRefusal(answer, field, value)
    }
    if (answer instanceof WeirError) throw answer
    const write = loader.runner?.tableWrites.at(-1)
    if (unset || !holds || !write) return
    const words = tableRowWords(write)
    holds({ value: value as never, result: answer, write, words, floats: new Float32Array(words.buffer) })
  }

  it('of the table of numbers has a meaning here', () => {
    expect(Object.keys(MEANINGS)).toEqual(expect.arrayContaining(Object.keys(REQUEST_NUMBERS)))
  })

  it('in any field is refused by its name, or is what the device gets; null is unset', async () => {
    const fields = fc.constantFrom(...(Object.keys(MEANINGS) as (keyof SamplingFields)[]))
    await fc.assert(fc.asyncProperty(fields, anyValue, check), {
      numRuns: 1500,
      examples: [
        ['stop', new Uint32Array()],
        ['stop', new Uint8Array([1])],
        ['top_k', 2 ** 32 + 1],
        ['temperature', 1e-50],
        ['temperature', 1e300],
        ['seed', 2 ** 53 - 1],
        ['n', 2 ** 53 - 1],
        ['max_tokens', 2 ** 53 - 1],
      ],
    })
  })

  it('as an id or a bias is one, or is refused by the field', async () => {
    const where = fc.constantFrom('bias', 'biased id', 'stop id', 'prompt id' as const)
    const property = fc.asyncProperty(where, anyValue, async (where, value) => {
      if (where === 'bias') return check('logit_bias', { 7: value })
      if (where === 'stop id') return check('stop_token_ids', [value])
      if (where === 'biased id')
        return typeof value === 'symbol' ? undefined : check('logit_bias', { [`${shown(value)}`]: 1 })
      const answer = await outcome({ max_tokens: 1 }, { prompt_token_ids: [5, value] })
      if (!isId(value)) return expectRefusal(answer as WeirError, 'prompt', value)
      if (answer instanceof WeirError) throw answer
      expect(answer.usage.prompt_tokens).toBe(2)
    })
    await fc.assert(property, { numRuns: 600 })
  })

  it('as the prompt or as the options is served or refused', async () => {
    await fc.assert(
      fc.asyncProperty(anyValue, anyValue, async (prompt, options) => {
        const answer = await outcome(options as object, prompt)
        if (answer instanceof WeirError) expect(answer.code, answer.message).toBe('INVALID_REQUEST')
        else expect(typeof prompt).toMatch(/^(string|object)$/)
      }),
      { numRuns: 600 },
    )
  })
})

/** As a key; an object may have no text. */
function shown(value: unknown): string {
  return typeof value === 'object' && value !== null ? 'object' : String(value)
}
