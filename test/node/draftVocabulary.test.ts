/** The part of the vocabulary that drafts come from: which ids these are, what is planned for them, and bad input. */

import fc from 'fast-check'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createGpuRunner } from '../../src/runner/createGpuRunner.ts'
import { SERIAL_KERNELS } from '../../src/runner/kernelSet.ts'
import { frequencyOrder } from '../../src/tokenizer/frequencyOrder.ts'
import { draftVocabulary } from '../../src/worker/draftVocabulary.ts'
import { engineOptions } from '../helpers/coreFixtures.ts'
import { FakeGpu } from '../helpers/fakeGpu.ts'
import { FAIRY_TALES, readJson } from '../helpers/modelFiles.ts'
import { openTestModel } from '../helpers/openTestModel.ts'

const TOKENIZER = readJson(FAIRY_TALES, 'tokenizer.json')

describe('the order of frequency', () => {
  it('is the order of merges, whatever their ids, the alphabet first and what no text is made of last', () => {
    const vocab = { c: 0, ab: 1, a: 2, b: 3, abc: 4, '<end>': 5, bc: 7 }
    const added_tokens = [{ id: 5, content: '<end>', special: true }]
    for (const merges of [
      ['b c', 'a b', 'ab c'],
      [
        ['b', 'c'],
        ['a', 'b'],
        ['ab', 'c'],
        ['a', 'bc'],
      ],
    ]) {
      // Nothing has the id 6.
      expect(frequencyOrder({ added_tokens, model: { vocab, merges } }, 8)).toEqual([0, 2, 3, 7, 1, 4, 5, 6])
    }
  })

  it('goes by id where bytes are a fallback, with these last: rare characters are at the end of such an alphabet', () => {
    const vocab = { '<0x00>': 0, '<0xFF>': 1, the: 2, he: 3, t: 4, 龍: 5 }
    expect(frequencyOrder({ model: { vocab, merges: ['h e', 't he'], byte_fallback: true } }, 6)).toEqual([
      2, 3, 4, 5, 0, 1,
    ])
  })

  it('is that of the ids in the embedded tokenizer, whose ids were given in the order of merges', () => {
    expect(frequencyOrder(TOKENIZER, 4096)).toEqual(Array.from({ length: 4096 }, (_, id) => id))
  })

  it('has every id once, whatever the file holds', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), fc.nat(40), (vocab, merges, vocabSize) => {
        const ids = Array.from({ length: vocabSize }, (_, id) => id)
        for (const json of [vocab, { model: vocab }, { added_tokens: vocab, model: { vocab, merges } }]) {
          expect(frequencyOrder(json, vocabSize).sort((a, b) => a - b)).toEqual(ids)
        }
      }),
    )
  })
})

describe('a draft vocabulary', () => {
  const of = (asked: Parameters<typeof draftVocabulary>[1], file: unknown = undefined) =>
    draftVocabulary({ tokenizer: TOKENIZER, readJson: async () => file }, asked, 4096)

  it('is the whole one unless asked for less', async () => {
    expect(await of({})).toBeUndefined()
    expect(await of({ draftVocabSize: 4096 })).toBeUndefined()
    expect(await of({ draftVocabFile: 'all.json' }, [...Array(4096).keys()].reverse())).toBeUndefined()
  })

  it('has the most frequent ids, ascending', async () => {
    expect(await of({ draftVocabSize: 3 })).toEqual([0, 1, 2])
    expect(await of({ draftVocabFile: 'ids.json' }, [7, 4095, 0])).toEqual([0, 7, 4095])
    expect(await of({ draftVocabFile: 'ids.json', draftVocabSize: 2 }, [7, 4095, 0])).toEqual([7, 4095])
  })

  it('goes by id in a model without a tokenizer', async () => {
    const files = { tokenizer: undefined, readJson: async () => undefined }
    expect(await draftVocabulary(files, { draftVocabSize: 2 }, 10)).toEqual([0, 1])
  })

  it.each([
    [{ draftVocabSize: 4097 }, undefined, 'INVALID_OPTION', /draftVocabSize 4097 exceeds the 4096 tokens/],
    [{ draftVocabSize: 3, draftVocabFile: 'f.json' }, [1, 2], 'INVALID_OPTION', /draftVocabSize 3 .*2 ids in f.json/],
    [{ draftVocabFile: 'f.json' }, { ids: [1] }, 'MODEL_FORMAT', /speculative.draftVocabFile: f.json: .*JSON array/],
    [{ draftVocabFile: 'f.json' }, [], 'MODEL_FORMAT', /f.json: .*JSON array/],
    [{ draftVocabFile: 'f.json' }, [1, 4096], 'MODEL_FORMAT', /f.json: entry 1, 4096, .*vocabulary of 4096/],
    [{ draftVocabFile: 'f.json' }, [-1], 'MODEL_FORMAT', /entry 0, -1/],
    [{ draftVocabFile: 'f.json' }, ['1'], 'MODEL_FORMAT', /entry 0, "1"/],
    [{ draftVocabFile: 'f.json' }, [0.5], 'MODEL_FORMAT', /entry 0, 0.5/],
    [{ draftVocabFile: 'f.json' }, [5, 6, 5], 'MODEL_FORMAT', /entry 2: id 5 is there twice/],
  ])('%j of %j is %s', async (asked, file, code, message) => {
    await expect(of(asked, file)).rejects.toMatchObject({ code, message: expect.stringMatching(message) })
  })
})

describe('the plan of an engine', () => {
  async function load(numSpeculativeTokens: number, ids: readonly number[] | undefined) {
    const { spec, weights } = await openTestModel('qwen3-mtp')
    const speculative = { method: 'mtp', numSpeculativeTokens, adaptive: false, draftVocabSize: ids?.length } as const
    const runner = await createGpuRunner({
      gpu: await new FakeGpu({ timestamps: true }).open(),
      spec,
      options: engineOptions({ speculative }),
      weights,
      draftVocab: ids,
      now: () => 0,
      kernels: SERIAL_KERNELS,
    })
    onTestFinished(() => runner.dispose())
    expect(runner.allocatedBytes).toBe(runner.plannedBytes)
    return runner.plannedBytes
  }

  it('holds the reduced head and its ids, and neither without draft passes', async () => {
    const ids = Array.from({ length: 100 }, (_, i) => 5 * i)
    expect(await load(0, ids)).toBe(await load(0, undefined))
    // Four tiles of [32 columns][hidden size 64] in bfloat16, and an id of each column.
    expect(await load(2, ids)).toBe((await load(2, undefined)) + 4 * 32 * 64 * 2 + 100 * 4)
  })
})
