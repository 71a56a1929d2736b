/** Parallel samples: n answers to one prompt through the public API, which begin together, end one by one and fail as one. */

import { afterEach, describe, expect, it } from 'vitest'
import type { Generation } from '../../src/api/generation.ts'
import type { LLM } from '../../src/api/llm.ts'
import { CACHED_BLOCK, FREE_BLOCK } from '../../src/protocol/blockMap.ts'
import type { LoadOptions } from '../../src/protocol/options.ts'
import type { GenerationPart } from '../../src/protocol/request.ts'
import { at } from '../../src/util/math.ts'
import { connect, errorOf, WAYS, type Way } from '../helpers/connect.ts'
import { failedParts, first, partsOf, textOf } from '../helpers/generations.ts'
import { EOS, endless, MockLoader, type Script, saying, tokenizer } from '../helpers/scriptedModel.ts'

/** One for each sample of the first generation, whose requests the engine knows as 0 to 3. */
const TEXTS = ['Once upon a time there was a fox.', 'There', 'The old king — “très petit” — had a son', 'A wood.']
const TEXT_IDS = TEXTS.map((text) => [...tokenizer.encode(text), EOS])
const texts: Script = (engineId, index) => TEXT_IDS[engineId]?.[index] ?? EOS

const MTP = { speculative: { method: 'mtp', numSpeculativeTokens: 3, adaptive: false } } as const

describe.each(WAYS)('parallel samples %s', (_name, open) => {
  let loader: MockLoader
  let way: Way
  let llm: LLM | undefined

  afterEach(async () => {
    await llm?.dispose()
    llm = undefined
  })

  async function use(script: Script, options: LoadOptions = {}): Promise<LLM> {
    loader = new MockLoader(script)
    way = open(loader)
    llm = await connect(way, options)
    return llm
  }

  it.each([{}, MTP])(
    'stream part by part with their index, and all of them are in the result (%j)',
    async (options) => {
      const generation = (await use(texts, options)).generate('A', { n: 4, seed: 7 })
      const [parts, result] = await Promise.all([partsOf(generation), generation.result()])
      expect(result.choices.map(({ index }) => index)).toEqual([0, 1, 2, 3])
      for (const choice of result.choices) {
        const { index } = choice
        expect(choice).toEqual({ index, text: TEXTS[index], token_ids: TEXT_IDS[index], finish_reason: 'stop' })
        const streamed = parts.filter((part) => part.index === index)
        expect(textOf(streamed)).toBe(choice.text)
        expect(streamed.flatMap(({ token_ids }) => token_ids)).toEqual(choice.token_ids)
        expect(streamed.filter(({ finish_reason }) => finish_reason)).toEqual(streamed.slice(-1))
      }
      const { text, token_ids, finish_reason, seed } = result
      expect({ text, token_ids, finish_reason, seed }).toEqual({
        text: TEXTS[0],
        token_ids: TEXT_IDS[0],
        finish_reason: 'stop',
        seed: 7,
      })
      expect(parts.map(({ usage }) => usage)).toEqual(
        parts.map((part) => (part === parts.at(-1) ? result.usage : undefined)),
      )
      // A sample that ends does not end the others: the shortest one is not the last to be heard of.
      const ends = parts.filter(({ finish_reason }) => finish_reason).map(({ index }) => index)
      expect(ends[0]).toBe(1)
      expect(ends.at(-1)).toBe(TEXT_IDS.indexOf(longest(TEXT_IDS)))
    },
  )

  it('are drawn with one seed and an index each', async () => {
    const model = await use(endless)
    const { seed } = await model.generate('A', { n: 3, max_tokens: 2 }).result()
    const sampling = loader.runner?.tableWrites.map((write) => write.sampling)
    expect(sampling?.map(({ sampleIndex }) => sampleIndex).toSorted()).toEqual([0, 1, 2])
    expect(sampling?.map((sample) => sample.seed)).toEqual([seed, seed, seed])
  })

  it('count the prompt once, and what they made together', async () => {
    const model = await use(texts, { ...MTP, debug: { steps: true } })
    const { usage, choices, debug } = await model.generate('Once upon a time', { n: 4 }).result()
    const steps = choices.flatMap((choice) => choice.debug?.steps ?? [])
    const completion = TEXT_IDS.flat().length
    const { accepted_prediction_tokens: accepted, rejected_prediction_tokens: rejected } =
      usage.completion_tokens_details
    expect(usage.prompt_tokens).toBe(tokenizer.encode('Once upon a time').length)
    expect(usage.completion_tokens).toBe(completion)
    expect(usage.total_tokens).toBe(usage.prompt_tokens + completion)
    expect(accepted + rejected).toBe(steps.reduce((sum, { verified }) => sum + verified.length, 0))
    expect(accepted).toBeGreaterThan(0)
    const verifications = steps.filter(({ verified }) => verified.length > 0).length
    expect(usage.speculation).toMatchObject({
      steps: steps.length,
      proposed_tokens: steps.reduce((sum, { proposed }) => sum + proposed.length, 0),
      mean_accepted_length: 1 + accepted / verifications,
      tokens_per_step: completion / steps.length,
    })
    expect(usage.speculation?.verified_by_position[0]).toBe(verifications)
    expect(usage.speculation?.accepted_by_position.reduce((sum, count) => sum + count, 0)).toBe(accepted)
    expect(debug).toEqual(choices[0]?.debug)
    expect(new Set(choices.map((choice) => JSON.stringify(choice.debug))).size).toBe(4)
  })

  it('are one when n is 1 or missing', async () => {
    const model = await use(saying('Once upon a time.'))
    const plain = model.generate('A', { seed: 3 })
    const one = model.generate('A', { seed: 3, n: 1 })
    expect(await partsOf(one)).toEqual(await partsOf(plain))
    const { choices, ...whole } = await one.result()
    expect(await plain.result()).toEqual({ ...whole, choices })
    const { text, token_ids, finish_reason } = whole
    expect(choices).toEqual([{ index: 0, text, token_ids, finish_reason }])
    expect((await partsOf(plain)).every(({ index }) => index === 0)).toBe(true)
  })

  it('are aborted together when the loop is left; those that had ended keep their end', async () => {
    const model = await use((engineId, index) => (engineId === 1 && index === 1 ? EOS : endless(engineId, index)))
    const generation = model.generate('A', { n: 3 })
    const other = model.generate('A', { max_tokens: 40 })
    const seen: GenerationPart[] = []
    for await (const part of generation) {
      seen.push(part)
      if (seen.length === 12) break
    }
    const { choices, finish_reason } = await generation.result()
    expect(finish_reason).toBe('abort')
    expect(choices.map((choice) => choice.finish_reason)).toEqual(['abort', 'stop', 'abort'])
    for (const { index, token_ids } of choices) {
      const streamed = seen.filter((part) => part.index === index).flatMap((part) => part.token_ids)
      expect(token_ids.slice(0, streamed.length)).toEqual(streamed)
    }
    expect((await other.result()).token_ids).toHaveLength(40)
    await expectIdle(model)
  })

  it('are aborted together by the signal', async () => {
    const model = await use(endless)
    const controller = new AbortController()
    const generation = model.generate('A', { n: 3, signal: controller.signal })
    const other = model.generate('A', { max_tokens: 40 })
    await first(generation)
    controller.abort()
    expect((await errorOf(generation.result())).code).toBe('ABORTED')
    expect((await other.result()).token_ids).toHaveLength(40)
    await expectIdle(model)
  })

  it('end with the error of one of them, and leave nothing behind', async () => {
    const model = await use((engineId, index) =>
      engineId === 2 && index === 5 ? Number.NaN : endless(engineId, index),
    )
    const generation = model.generate('A', { n: 4 })
    const other = model.generate('A', { max_tokens: 40 })
    const { parts, error } = await failedParts(generation)
    expect(error.code).toBe('NUMERIC_ERROR')
    expect(await errorOf(generation.result())).toBe(error)
    expect(new Set(parts.map(({ index }) => index))).toEqual(new Set([0, 1, 2, 3]))
    expect(parts.filter(({ index }) => index === 2)).toHaveLength(5)
    expect(parts.filter(({ finish_reason }) => finish_reason)).toEqual([])
    expect((await other.result()).token_ids).toHaveLength(40)
    await expectIdle(model)
  })

  it('end with what ends the engine', async () => {
    const model = await use(endless)
    const lost = model.generate('A', { n: 3 })
    await first(lost)
    loader.lose()
    expect((await errorOf(lost.result())).code).toBe('DEVICE_LOST')
    expect((await errorOf(model.generate('A', { n: 2 }).result())).code).toBe('DEVICE_LOST')
    await expectIdle(model)
    await model.dispose()

    const again = (await use(endless)).generate('A', { n: 3 })
    await first(again)
    await llm?.dispose()
    expect((await errorOf(again.result())).code).toBe('DISPOSED')
  })

  it('may fill the engine, and are refused beyond it', async () => {
    const model = await use(endless, { maxNumSeqs: 4 })
    const error = await errorOf(model.generate('A', { n: 5 }).result())
    expect(error).toMatchObject({ code: 'UNSERVABLE_REQUEST', details: { n: 5, maxNumSeqs: 4 } })
    expect(error.message).toMatch(/n 5 exceeds maxNumSeqs 4.*lower n or raise maxNumSeqs/)
    expect(await errorOf(model.generate('A', { n: 2 ** 50 }).result())).toMatchObject({ code: 'UNSERVABLE_REQUEST' })
    const { choices } = await model.generate('A', { n: 4, max_tokens: 3 }).result()
    expect(choices.map(({ token_ids }) => token_ids.length)).toEqual([3, 3, 3, 3])
  })

  it('own their blocks in the name of their generation', async () => {
    const model = await use(endless)
    const generations = [3, 1, 2].map((n) => model.generate('Once upon a time there was a fox.', { n }))
    await Promise.all([3, 1, 2].map((n, i) => heardOfAll(at(generations, i), n)))
    const { blockOwners, running } = await model.stats()
    expect(running).toBe(6)
    // Each of the six writes into a block of its own.
    const owners = [...blockOwners].filter((owner) => owner >= 0)
    expect(new Set(owners)).toEqual(new Set(generations.map(({ id }) => id)))
    expect(owners.length).toBeGreaterThanOrEqual(6)
  })
})

/** Waits until a part of each of its n samples has come. It leaves no loop, which would abort them. */
async function heardOfAll(generation: Generation, n: number): Promise<void> {
  const parts = generation[Symbol.asyncIterator]()
  const heard = new Set<number>()
  while (heard.size < n) {
    const { value } = await parts.next()
    if (!value) throw new Error(`it ended with ${heard.size} samples of ${n}`)
    heard.add(value.index)
  }
}

async function expectIdle(llm: LLM): Promise<void> {
  const { running, waiting, blockOwners } = await llm.stats()
  expect([running, waiting]).toEqual([0, 0])
  expect(blockOwners.every((owner) => owner === FREE_BLOCK || owner === CACHED_BLOCK)).toBe(true)
}

function longest(lists: readonly number[][]): number[] {
  return lists.reduce((most, list) => (list.length > most.length ? list : most), [])
}
