/**
 * Drafts from part of the vocabulary, on the real model: answers do not change by a bit, drafts are what the whole head would
 * propose among these tokens, and a first draft that the whole head would give is given.
 */

import { describe, expect, onTestFinished, test } from 'vitest'
import type { EngineRequestEnd } from '../../../src/engine/engineTypes.ts'
import type { SpeculativeLoadOptions } from '../../../src/index.ts'
import { answer, draftsByLength } from '../../helpers/answers.ts'
import { folderFetch, MODELS, type ModelName } from '../../helpers/folderFetch.ts'
import { randomInts, seededRandom } from '../../helpers/kernelHarness.ts'
import { BACKEND, connect, expectPlanned } from '../../helpers/testBackend.ts'
import { withEngine } from '../../helpers/testEngine.ts'

const SIZES = { maxNumBatchedTokens: 24, maxNumSeqs: 4, maxModelLen: 96, kvCacheTokens: 512 } as const

function requests(vocabSize: number) {
  return [1, 20, 37].map((length, index) => ({
    prompt: [...randomInts(index + 1, length, vocabSize)],
    maxTokens: 24,
    ...(index === 1 ? { sampling: { temperature: 1, seed: 11, topK: 30 } } : {}),
  }))
}

/** So many ids of a vocabulary, ascending, drawn by a seed. */
function someIds(count: number, vocabSize: number): number[] {
  const random = seededRandom(count)
  const ids = Array.from({ length: vocabSize }, (_, id) => ({ id, order: random() }))
  return ids
    .sort((a, b) => a.order - b.order)
    .slice(0, count)
    .map(({ id }) => id)
    .sort((a, b) => a - b)
}

const whole = new Map<ModelName, Promise<EngineRequestEnd[]>>()

/** Four drafts from the whole vocabulary. */
function wholeRun(model: ModelName, vocabSize: number): Promise<EngineRequestEnd[]> {
  const run =
    whole.get(model) ?? withEngine(model, { ...SIZES, drafts: 4 }, (engine) => engine.run(requests(vocabSize)))
  whole.set(model, run)
  return run
}

describe.each([
  ['qwen3-mtp', 512, [1, 5, 64, 255, 511]],
  ['mimo', 640, [333]],
  ['fairy-tales', 4096, [1024]],
] as const)('%s', (model, vocabSize, counts) => {
  test.each(counts)('drafts from %i tokens', async (count) => {
    const draftVocab = someIds(count, vocabSize)
    const among = new Set(draftVocab)
    const expected = await wholeRun(model, vocabSize)
    const ends = await withEngine(model, { ...SIZES, drafts: 4, draftVocab }, (engine) =>
      engine.run(requests(vocabSize)),
    )
    expect(ends.map(answer)).toEqual(expected.map(answer))
    let same = 0
    ends.forEach((end, index) => {
      const others = draftsByLength(expected[index] as EngineRequestEnd)
      for (const [length, drafts] of draftsByLength(end)) {
        for (const id of drafts) expect(among.has(id), `draft ${id} at length ${length}`).toBe(true)
        // A draft follows from those before it, so both runs agree up to the first that is not to be had.
        const others4 = others.get(length)?.slice(0, drafts.length) ?? []
        const agree = others4.findIndex((id) => !among.has(id))
        const binding = agree < 0 ? others4 : others4.slice(0, agree)
        expect(drafts.slice(0, binding.length), `drafts at length ${length}`).toEqual(binding)
        same += binding.length
      }
    })
    if (count >= vocabSize / 4) expect(same).toBeGreaterThan(3)
  })
})

describe('through the public options', () => {
  const small = { maxNumBatchedTokens: 48, maxNumSeqs: 8, maxModelLen: 128, kvCacheTokens: 1024 } as const

  async function load(speculative: Omit<SpeculativeLoadOptions, 'method'>, files: Record<string, string> = {}) {
    const fetch = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
      const body = files[String(input).replace(MODELS['fairy-tales'], '')]
      return body === undefined ? folderFetch(input, init) : new Response(body)
    }
    const options = { ...small, speculative: { method: 'mtp', ...speculative } } as const
    const llm = await connect(MODELS['fairy-tales'], options, fetch)
    onTestFinished(() => llm.dispose())
    return llm
  }

  test('by the tokenizer, or by a file: memory is planned, and the story is the same', async () => {
    const fixed = { numSpeculativeTokens: 2, adaptive: false }
    const file = { 'frequent.json': JSON.stringify([...Array(700).keys()].reverse()) }
    const stories: string[] = []
    const heads: (number | undefined)[] = []
    for (const [more, files] of [
      [{}, {}],
      [{ draftVocabSize: 1024 }, {}],
      [{ draftVocabFile: 'frequent.json', draftVocabSize: 300 }, file],
    ] as const) {
      const llm = await load({ ...fixed, ...more }, files)
      // On the processor the memory of ONNX Runtime is that of all engines of this process.
      if (BACKEND === 'webgpu') expectPlanned(await llm.stats())
      heads.push(llm.memory.buffers.find(({ name }) => name === 'mtp.head')?.bytes)
      const result = await llm.generate('Once upon a time', { max_tokens: 24, temperature: 0 }).result()
      expect(result.usage.completion_tokens_details.accepted_prediction_tokens).toBeGreaterThan(0)
      stories.push(result.text)
    }
    expect(new Set(stories).size).toBe(1)
    // [columns][hidden] of bfloat16, in tiles of 32 columns; ONNX Runtime's sessions are planned as one.
    if (BACKEND === 'webgpu') expect(heads).toEqual([undefined, 1024 * 192 * 2, 320 * 192 * 2])
  })

  test.each([
    [{ draftVocabSize: 5000 }, {}, 'INVALID_OPTION', /draftVocabSize 5000.*4096/],
    [{ draftVocabFile: 'none.json' }, {}, 'MODEL_FETCH', /none.json: HTTP 404/],
    [{ draftVocabFile: 'ids.json' }, { 'ids.json': '[1, 2' }, 'MODEL_FORMAT', /ids.json is not JSON/],
    [{ draftVocabFile: 'ids.json' }, { 'ids.json': '<html>' }, 'MODEL_FORMAT', /ids.json is an HTML page/],
    [{ draftVocabFile: 'ids.json' }, { 'ids.json': '[9999]' }, 'MODEL_FORMAT', /9999.*vocabulary of 4096/],
    [{ draftVocabFile: 'http://[' }, {}, 'INVALID_OPTION', /not a URL/],
  ])('%j of %j is %s', async (more, files, code, message) => {
    const loading = load({ numSpeculativeTokens: 2, ...more }, files)
    await expect(loading).rejects.toMatchObject({ code, message: expect.stringMatching(message) })
  })
})
