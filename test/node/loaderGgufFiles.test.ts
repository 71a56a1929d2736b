/** GGUF models over HTTP: opened by the URL of a file, whole or split, from servers of every kind. */

import { describe, expect, it } from 'vitest'
import { GGUF_START_BYTES } from '../../src/loader/gguf.ts'
import { openModel } from '../../src/loader/source.ts'
import { parseModelSpec } from '../../src/models/readConfig.ts'
import { openWeights } from '../../src/worker/openWeights.ts'
import { ggufFixture, type Typed, type WrittenTensor, writeGguf } from '../helpers/ggufWriter.ts'
import { allRanges, HTML, readRanges, serveModel, thrownBy } from '../helpers/modelFiles.ts'

const NAME = '/model/llama.F16.gguf'
const { file, golden } = ggufFixture('llama-gguf-f16')

const LLAMA: Readonly<Record<string, Typed>> = {
  'general.architecture': ['string', 'llama'],
  'llama.block_count': ['u32', 1],
  'llama.context_length': ['u32', 64],
  'llama.embedding_length': ['u32', 8],
  'llama.feed_forward_length': ['u32', 16],
  'llama.attention.head_count': ['u32', 1],
  'llama.attention.layer_norm_rms_epsilon': ['f32', 1e-5],
}

/** Tensors of f32 values one after another. */
function f32Tensors(shapes: Readonly<Record<string, readonly number[]>>): {
  tensors: WrittenTensor[]
  data: Uint8Array
} {
  let offset = 0
  const tensors = Object.entries(shapes).map(([name, shape]) => {
    const tensor = { name, shape, type: 0, offset }
    offset += 4 * shape.reduce((product, size) => product * size, 1)
    return tensor
  })
  return { tensors, data: Uint8Array.from({ length: offset }, (_, i) => i * 7) }
}

const BLOCK = {
  'blk.0.attn_norm.weight': [8],
  'blk.0.attn_q.weight': [8, 8],
  'blk.0.attn_k.weight': [8, 8],
  'blk.0.attn_v.weight': [8, 8],
  'blk.0.attn_output.weight': [8, 8],
  'blk.0.ffn_norm.weight': [8],
  'blk.0.ffn_gate.weight': [16, 8],
  'blk.0.ffn_up.weight': [16, 8],
  'blk.0.ffn_down.weight': [8, 16],
}
const ENDS = { 'token_embd.weight': [24, 8], 'output_norm.weight': [8] }

describe('a GGUF file', () => {
  it.each([true, false])('gives config, metadata and tensors (Range honoured: %s)', async (ranges) => {
    const { model, requests } = await serveModel({ [NAME]: { body: file, ranges } })
    const files = await openModel(model.replace('/model', NAME))
    expect(files.url).toBe(model.replace('/model', NAME))
    const spec = parseModelSpec(files.config)
    expect(spec).toMatchObject({ family: 'llama', numLayers: golden.config.num_hidden_layers })
    expect(spec.ropes[0]?.scaling?.kind).toBe('divisors')
    expect(files.metadata?.get('general.architecture')).toBe('llama')
    expect(requests.map(({ path }) => path)).not.toContain('/model/config.json')
    expect(files.tokenizer).toBe(undefined)

    const ranged = allRanges(files.checkpoint)
    const data = await readRanges(files.checkpoint, ranged)
    for (const [i, { tensor }] of ranged.entries()) {
      const { offset, bytes } = files.checkpoint.tensors.get(tensor) ?? { offset: 0, bytes: 0 }
      expect(Buffer.compare(data[i] ?? new Uint8Array(0), file.subarray(offset, offset + bytes)), tensor).toBe(0)
    }
  })

  it('is opened with a query, which goes on to every file, and with the tokenizer that lies beside it', async () => {
    const { model, requests } = await serveModel({
      [`${NAME}?token=a%20b`]: { body: file },
      '/model/tokenizer.json?token=a%20b': { body: '{"a": 1}' },
    })
    const files = await openModel(`${model.replace('/model', NAME)}?token=a%20b`)
    expect(files.tokenizer).toEqual({ a: 1 })
    expect(requests.every(({ path }) => path.endsWith('?token=a%20b'))).toBe(true)
  })

  it.each([true, false])('has a header longer than the first request (Range honoured: %s)', async (ranges) => {
    const tokens = Array.from({ length: 150_000 }, (_, i) => `token number ${i}`)
    const body = writeGguf({
      metadata: { ...LLAMA, 'tokenizer.ggml.tokens': ['string', tokens] },
      ...f32Tensors({ ...ENDS, ...BLOCK }),
    })
    expect(body.length).toBeGreaterThan(3 * GGUF_START_BYTES)
    const { model, requests } = await serveModel({ [NAME]: { body, ranges } })
    const files = await openModel(model.replace('/model', NAME))
    expect(files.metadata?.get('tokenizer.ggml.tokens')).toEqual(tokens)
    const asked = requests.filter(({ path }) => path === NAME)
    expect(asked.length).toBeGreaterThan(1)
    expect(asked.length).toBeLessThan(ranges ? 5 : 9)
    // No byte of it twice.
    if (ranges) {
      const starts = asked.map(({ range }) => Number(/^bytes=(\d+)-/.exec(range ?? '')?.[1]))
      const ends = asked.map(({ range }) => Number(/-(\d+)$/.exec(range ?? '')?.[1]) + 1)
      expect(starts).toEqual([0, ...ends.slice(0, -1)])
    }
  })

  it('is refused by name where it is missing, a page, of another format, or cut off', async () => {
    const at = async (body: Uint8Array | string | undefined) => {
      const { model } = await serveModel(body === undefined ? {} : { [NAME]: { body } })
      return thrownBy(() => openModel(model.replace('/model', NAME)))
    }
    expect(await at(undefined)).toMatchObject({ code: 'MODEL_FETCH', message: expect.stringContaining('HTTP 404') })
    expect(await at(HTML)).toMatchObject({ code: 'MODEL_FORMAT', message: expect.stringContaining('an HTML page') })
    expect(await at('')).toMatchObject({ code: 'MODEL_FORMAT', message: expect.stringContaining('is empty') })
    for (const bytes of [100, 1000, file.length - 1]) {
      const error = await at(file.subarray(0, bytes))
      expect(error.code, String(bytes)).toBe('MODEL_FORMAT')
      expect(error.message).toContain(NAME)
    }
  })
})

describe('a GGUF model in several files', () => {
  const partName = (index: number): string => `/model/m-0000${index + 1}-of-00003.gguf`
  const parts = [ENDS, BLOCK, { 'output.weight': [24, 8] }].map((shapes, index) => {
    const metadata: Record<string, Typed> = { 'split.no': ['u16', index], 'split.count': ['u16', 3] }
    return writeGguf({ metadata: { ...(index === 0 ? LLAMA : {}), ...metadata }, ...f32Tensors(shapes) })
  })
  const answers = Object.fromEntries(parts.map((body, index) => [partName(index), { body }]))

  it.each([0, 1, 2])('is opened by any of them, as part %i', async (index) => {
    const { model } = await serveModel(answers)
    const files = await openModel(model.replace('/model', partName(index)))
    const names = [...Object.keys(ENDS), ...Object.keys(BLOCK), 'output.weight']
    expect([...files.checkpoint.tensors.keys()]).toEqual(names)
    expect([...files.checkpoint.tensors.values()].map(({ file }) => file)).toEqual([0, 0, ...Array(9).fill(1), 2])
    const spec = parseModelSpec(files.config)
    expect(spec).toMatchObject({ vocabSize: 24, tiedEmbeddings: false })
    expect(openWeights(files, spec, 'none').tensors.map(({ role }) => role)).toContain('lmHead')
  })

  it('is refused where a part is missing, or another part has its name', async () => {
    const { [partName(2)]: _, ...two } = answers
    const { model } = await serveModel(two)
    const missing = await thrownBy(() => openModel(model.replace('/model', partName(0))))
    expect(missing).toMatchObject({ code: 'MODEL_FETCH', message: expect.stringContaining(`${partName(2)}: HTTP 404`) })
    const second = answers[partName(1)]
    if (!second) throw new Error('three parts')
    const { model: swapped } = await serveModel({ ...answers, [partName(2)]: second })
    const error = await thrownBy(() => openModel(swapped.replace('/model', partName(0))))
    expect(error).toMatchObject({ code: 'MODEL_FORMAT', message: expect.stringContaining('is part 2 of 3') })
  })
})
