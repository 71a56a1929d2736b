/**
 * The dense half of a model: every session against float64 on random models of odd sizes and on the fixtures, and the bits of a
 * row, which no row beside it may change.
 */

import { beforeAll, describe, expect, it } from 'vitest'
import { openModel } from '../../../src/loader/source.ts'
import type { ModelSpec } from '../../../src/models/modelSpec.ts'
import { parseModelSpec } from '../../../src/models/readConfig.ts'
import type { DenseModel } from '../../../src/ort/denseModel.ts'
import { loadDense } from '../../../src/ort/loadDense.ts'
import type { Ort } from '../../../src/ort/runtime.ts'
import type { ModelUse } from '../../../src/ort/sessionPlans.ts'
import { QUANTIZATIONS } from '../../../src/protocol/engineOptions.ts'
import { at } from '../../../src/util/math.ts'
import {
  DenseReference,
  randomRows,
  randomTensors,
  SMALL,
  SMALL_MIMO,
  type StoredTensor,
  streamOf,
} from '../../helpers/denseReference.ts'
import { folderFetch, MODELS, type ModelName } from '../../helpers/folderFetch.ts'
import { nodeOrt } from '../../helpers/ort.ts'

let ort: Ort

beforeAll(async () => {
  ort = await nodeOrt()
})

const isEmbedding = (name: string) => name.includes('embed_tokens')

function load(
  spec: ModelSpec,
  tensors: readonly StoredTensor[],
  use: Pick<ModelUse, 'draftVocab' | 'quantization'> = {},
): Promise<DenseModel> {
  const withDrafter = spec.mtp !== undefined
  const weights = streamOf(tensors, isEmbedding)
  return loadDense({ spec, weights, withDrafter, ...use, createSession: ort.createSession })
}

async function fixture(name: ModelName): Promise<{ spec: ModelSpec; tensors: StoredTensor[] }> {
  const files = await openModel(MODELS[name], { fetch: folderFetch })
  const tensors: StoredTensor[] = []
  await files.weights.stream((info, data) => {
    tensors.push({ ...info, dtype: 'BF16', data })
  }, {})
  return { spec: parseModelSpec(files.config, files.generationConfig), tensors }
}

/** Inputs of every session, for `rows` rows. */
function inputsOf(spec: ModelSpec, rows: number) {
  return {
    x: randomRows(1, rows, spec.hiddenSize),
    hidden: randomRows(2, rows, spec.hiddenSize),
    attention: randomRows(3, rows, spec.numHeads * spec.headDim),
  }
}

const rowsOf = (values: Float32Array, rows: number): number[][] =>
  Array.from({ length: rows }, (_, row) => {
    const width = values.length / rows
    return [...values.subarray(row * width, (row + 1) * width)]
  })

/** The largest difference by the largest expected magnitude; NaN and other lengths fail. */
function relativeError(actual: Float32Array | undefined, expected: readonly (readonly number[])[]): number {
  const flat = expected.flat()
  expect(actual).toHaveLength(flat.length)
  const largest = Math.max(...flat.map(Math.abs))
  return Math.max(...flat.map((value, i) => Math.abs((actual?.[i] ?? Number.NaN) - value))) / largest
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
  'fixture qwen3-mtp': () => fixture('qwen3-mtp'),
  'fixture mimo': () => fixture('mimo'),
}

const CASES = Object.entries(MODELS_BY_NAME).flatMap(([name, make]) =>
  QUANTIZATIONS.map((quantization) => ({ name, make, quantization })),
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
    const rows = 5
    const { x, hidden, attention } = inputsOf(spec, rows)
    const [xs, hs, as] = [rowsOf(x, rows), rowsOf(hidden, rows), rowsOf(attention, rows)]
    const lastLayer = spec.numLayers - 1

    expect(
      relativeError(
        await model.first(x),
        xs.map((row) => reference.qkv('model', 0, row)),
      ),
    ).toBeLessThan(1e-5)
    for (let layer = 0; layer < lastLayer; layer++) {
      const sums = xs.map((row, i) => reference.block('model', layer, at(as, i), row))
      const middle = await model.middle(layer, attention, x)
      expect(relativeError(middle.x, sums)).toBeLessThan(1e-5)
      expect(
        relativeError(
          middle.qkv,
          sums.map((row) => reference.qkv('model', layer + 1, row)),
        ),
      ).toBeLessThan(1e-5)
    }
    const finals = xs.map((row, i) => reference.finalNorm('model', reference.block('model', lastLayer, at(as, i), row)))
    const sampled = Int32Array.of(4, 0, 0, 2)
    const logits = [...sampled].map((row) => reference.logits(at(finals, row)))
    const withHidden = await model.last(attention, x, sampled, true)
    expect(relativeError(withHidden.hidden, finals)).toBeLessThan(1e-5)
    expect(relativeError(withHidden.logits, logits)).toBeLessThan(1e-5)
    const without = await model.last(attention, x, sampled, false)
    expect(without).toEqual({ hidden: undefined, logits: withHidden.logits })

    if (!spec.mtp) return
    const us = xs.map((row, i) => reference.drafterInput(row, at(hs, i)))
    const input = await model.drafterInput(x, hidden)
    expect(relativeError(input.u, us)).toBeLessThan(1e-5)
    expect(
      relativeError(
        input.qkv,
        us.map((row) => reference.qkv('mtp', 0, row)),
      ),
    ).toBeLessThan(1e-5)
    const zs = xs.map((row, i) => reference.finalNorm('mtp', reference.block('mtp', 0, at(as, i), row)))
    const output = await model.drafterOutput(attention, x)
    expect(relativeError(output.z, zs)).toBeLessThan(1e-5)
    expect(
      relativeError(
        output.logits,
        zs.map((row) => reference.logits(row)),
      ),
    ).toBeLessThan(1e-5)
  })

  it('gives a row the same bits alone and among 2…70 rows, in every session', async () => {
    const most = 70
    const { x, hidden, attention } = inputsOf(spec, most)
    /** every output of every session for the rows `begin`…`end - 1` */
    const run = async (begin: number, end: number): Promise<Record<string, Float32Array>> => {
      const take = (values: Float32Array) =>
        values.subarray((begin * values.length) / most, (end * values.length) / most)
      const all = Int32Array.from({ length: end - begin }, (_row, i) => i)
      const outputs: Record<string, Float32Array> = { first: await model.first(take(x)) }
      const keep = (session: string, results: Readonly<Record<string, Float32Array | undefined>>) => {
        for (const [name, values] of Object.entries(results))
          outputs[`${session}.${name}`] = values ?? new Float32Array()
      }
      for (let layer = 0; layer < spec.numLayers - 1; layer++) {
        keep(`middle${layer}`, await model.middle(layer, take(attention), take(x)))
      }
      keep('last', await model.last(take(attention), take(x), all, true))
      if (spec.mtp) {
        keep('drafterInput', await model.drafterInput(take(x), take(hidden)))
        keep('drafterOutput', await model.drafterOutput(take(attention), take(x)))
      }
      return outputs
    }
    const alone: Record<string, Float32Array>[] = []
    for (let row = 0; row < most; row++) alone.push(await run(row, row + 1))
    const different = new Set<string>()
    for (let rows = 2; rows <= most; rows++) {
      for (const [name, values] of Object.entries(await run(0, rows))) {
        const width = values.length / rows
        expect(width).toBe(alone[0]?.[name]?.length)
        for (let i = 0; i < values.length; i++) {
          if (values[i] !== alone[Math.floor(i / width)]?.[name]?.[i % width]) different.add(`${name} of ${rows} rows`)
        }
      }
    }
    expect([...different]).toEqual([])
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
