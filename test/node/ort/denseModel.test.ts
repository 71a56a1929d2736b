/**
 * The dense half of a model: every session against float64 on random models of odd sizes and on the fixtures, and the bits of a
 * row, which no row beside it may change.
 */

import { beforeAll, describe, expect, it } from 'vitest'
import type { ModelSpec } from '../../../src/models/modelSpec.ts'
import type { DenseModel } from '../../../src/ort/denseModel.ts'
import { loadDense } from '../../../src/ort/loadDense.ts'
import type { Ort } from '../../../src/ort/runtime.ts'
import type { ModelUse } from '../../../src/ort/sessionPlans.ts'
import { formatName } from '../../../src/weights/format.ts'
import { inputsOf, outputsWithOtherBits, rowsOf, sessionErrors } from '../../helpers/denseChecks.ts'
import { DenseReference, SMALL, SMALL_MIMO } from '../../helpers/denseReference.ts'
import type { ModelName } from '../../helpers/folderFetch.ts'
import { weightsOf } from '../../helpers/memoryWeights.ts'
import { openTestModel } from '../../helpers/openTestModel.ts'
import { nodeOrt } from '../../helpers/ort.ts'
import { inTurn, randomTensors, readTensors, type StoredTensor } from '../../helpers/storedTensors.ts'
import { ALL_FORMATS } from '../../helpers/weightFormats.ts'

let ort: Ort

beforeAll(async () => {
  ort = await nodeOrt()
})

function load(
  spec: ModelSpec,
  tensors: readonly StoredTensor[],
  use: Pick<ModelUse, 'draftVocab' | 'quantization'> = {},
): Promise<DenseModel> {
  const withDrafter = spec.mtp !== undefined
  return loadDense({ spec, weights: weightsOf(tensors), withDrafter, ...use, createSession: ort.createSession })
}

async function fixture(name: ModelName): Promise<{ spec: ModelSpec; tensors: StoredTensor[] }> {
  const { spec, weights } = await openTestModel(name)
  return { spec, tensors: await readTensors(weights) }
}

const MODELS_BY_NAME: Readonly<Record<string, () => Promise<{ spec: ModelSpec; tensors: StoredTensor[] }>>> = {
  'a small qwen3': async () => ({ spec: SMALL, tensors: randomTensors(SMALL, 100) }),
  'a small qwen3 with a tied head and no drafter': async () => {
    const spec = { ...SMALL, tiedEmbeddings: true, mtp: undefined }
    return { spec, tensors: randomTensors(spec, 200) }
  },
  'a qwen3 of one layer': async () => {
    const spec = { ...SMALL, numLayers: 1, tiedEmbeddings: true }
    return { spec, tensors: randomTensors(spec, 300) }
  },
  'a small mimo': async () => ({ spec: SMALL_MIMO, tensors: randomTensors(SMALL_MIMO, 400) }),
  'a mimo larger than one block of the matrix kernels': async () => {
    const spec = { ...SMALL_MIMO, hiddenSize: 300, intermediateSize: 524, vocabSize: 1021, headDim: 44, numLayers: 2 }
    return { spec, tensors: randomTensors(spec, 500) }
  },
  'a qwen3 with matrices in every format': async () => {
    const sizes = { hiddenSize: 256, intermediateSize: 512, numHeads: 4, headDim: 64, numLayers: 5 }
    const spec = { ...SMALL, ...sizes }
    const tensors = randomTensors(spec, 600, inTurn())
    const formats = new Set(tensors.map(({ values }) => formatName(values.format)))
    expect(formats.size).toBe(ALL_FORMATS.length)
    return { spec, tensors }
  },
  'fixture qwen3-mtp': () => fixture('qwen3-mtp'),
  'fixture mimo': () => fixture('mimo'),
}

const CASES = Object.entries(MODELS_BY_NAME).flatMap(([name, make]) =>
  (['none', 'w8a8'] as const).map((quantization) => ({ name, make, quantization })),
)

describe.each(CASES)('$name, quantization $quantization', ({ make, quantization }) => {
  let spec: ModelSpec
  let model: DenseModel
  let reference: DenseReference

  beforeAll(async () => {
    const made = await make()
    spec = made.spec
    model = await load(spec, made.tensors, { quantization })
    reference = new DenseReference(spec, made.tensors, quantization)
    return () => model.release()
  })

  it('computes in each session what float64 does', async () => {
    for (const [output, error] of Object.entries(await sessionErrors(model, reference))) {
      expect(error, output).toBeLessThan(1e-5)
    }
  })

  it('computes without hidden states the same logits', async () => {
    const { x, attention } = inputsOf(spec, 5)
    const sampled = Int32Array.of(4, 0, 0, 2)
    const { logits } = await model.last(attention, x, sampled, true)
    expect(await model.last(attention, x, sampled, false)).toEqual({ hidden: undefined, logits })
  })

  it('gives a row the same bits alone and among 2…70 rows, in every session', async () => {
    const sizes = Array.from({ length: 69 }, (_, i) => i + 2)
    expect(await outputsWithOtherBits(model, sizes)).toEqual([])
  })

  it('looks embeddings up exactly, and writes nothing beside them', () => {
    const ids = Int32Array.of(3, spec.vocabSize - 1, 0, 3, 999_999)
    const out = new Float32Array(5 * spec.hiddenSize).fill(Number.NaN)
    model.embed(ids, 4, out)
    const expected = [...ids.subarray(0, 4)].flatMap((id) => reference.embed(id))
    expect([...out]).toEqual([...expected, ...new Array(spec.hiddenSize).fill(Number.NaN)])
    expect(() => model.embed(ids, 5, out)).toThrow('vocabulary')
  })

  it('hands the weights of QK-norm to attention, where the family has it', () => {
    const norms = (part: 'model' | 'mtp', layer: number) => ({
      q: reference.weight(part, layer, 'qNorm'),
      k: reference.weight(part, layer, 'kNorm'),
    })
    const layers = Array.from({ length: spec.numLayers }, (_layer, layer) => layer)
    expect(model.headNorms).toEqual(spec.qkNorm ? layers.map((layer) => norms('model', layer)) : undefined)
    expect(model.drafterHeadNorms).toEqual(spec.qkNorm && spec.mtp ? norms('mtp', 0) : undefined)
  })
})

describe('the drafter', () => {
  it('sees a zero embedding at position 0 in mimo only', async () => {
    for (const spec of [SMALL, SMALL_MIMO]) {
      const model = await load(spec, randomTensors(spec, 600))
      const ids = Int32Array.of(5, 6, 7)
      const plain = new Float32Array(3 * spec.hiddenSize).fill(Number.NaN)
      const next = plain.slice()
      model.embed(ids, 3, plain)
      model.embedNext(ids, Int32Array.of(1, 0, 2), 3, next)
      if (spec.mtp?.maskFirstEmbedding) plain.fill(0, spec.hiddenSize, 2 * spec.hiddenSize)
      expect([...next]).toEqual([...plain])
      await model.release()
    }
  })

  it('has in a reduced vocabulary the bits that each column has in all of it', async () => {
    for (const [tiedEmbeddings, quantization] of [
      [false, 'none'],
      [true, 'none'],
      [true, 'w8a8'],
    ] as const) {
      const spec = { ...SMALL, tiedEmbeddings }
      const tensors = randomTensors(spec, 700)
      const draftVocab = [0, 3, 4, 11, 35, 36]
      const [whole, reduced] = [
        await load(spec, tensors, { quantization }),
        await load(spec, tensors, { quantization, draftVocab }),
      ]
      const { x, attention } = inputsOf(spec, 3)
      const all = rowsOf((await whole.drafterOutput(attention, x)).logits, 3)
      const some = rowsOf((await reduced.drafterOutput(attention, x)).logits, 3)
      expect(some).toEqual(all.map((row) => draftVocab.map((id) => row[id])))
      const target = await reduced.last(attention, x, Int32Array.of(1), false)
      expect(target.logits).toHaveLength(spec.vocabSize)
      await Promise.all([whole.release(), reduced.release()])
    }
  })
})

describe('a step without sampled rows', () => {
  it('has no logits, and hidden states where they are asked for', async () => {
    const model = await load(SMALL, randomTensors(SMALL, 800))
    const { x, attention } = inputsOf(SMALL, 4)
    const none = new Int32Array()
    expect(await model.last(attention, x, none, false)).toEqual({ hidden: undefined, logits: new Float32Array() })
    const { hidden, logits } = await model.last(attention, x, none, true)
    expect([hidden?.length, logits.length]).toEqual([4 * SMALL.hiddenSize, 0])
    await model.release()
  })
})

describe("the runtime's memory", () => {
  it('does not grow over 2,000 runs of 1…64 rows, once each size has run', async () => {
    const { spec, tensors } = await fixture('mimo')
    const model = await load(spec, tensors)
    const { x, hidden, attention } = inputsOf(spec, 64)
    const run = async (rows: number) => {
      const take = (values: Float32Array) => values.subarray(0, (rows * values.length) / 64)
      await model.first(take(x))
      await model.middle(0, take(attention), take(x))
      await model.last(take(attention), take(x), Int32Array.of(rows - 1), true)
      await model.drafterInput(take(x), take(hidden))
    }
    for (let rows = 64; rows > 0; rows--) await run(rows)
    const before = ort.heapBytes()
    expect(before).toBeGreaterThan(2 ** 20)
    for (let i = 0; i < 500; i++) await run(1 + ((i * 37) % 64)) // each runs five sessions
    expect(ort.heapBytes()).toBe(before)
    await model.release()
  })
})
