/** Loading over HTTP from servers that do what they should: one file or shards, with Range requests or without. */

import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { FetchProgress } from '../../src/loader/checkpoint.ts'
import { openModel } from '../../src/loader/source.ts'
import type { Answer } from '../helpers/httpServer.ts'
import {
  allRanges,
  FAIRY_TALES,
  HTML,
  modelAnswers,
  openError,
  plainTensors,
  QWEN3_MTP,
  readBytes,
  readJson,
  readRanges,
  readSafetensors,
  serveModel,
  WEIGHTS,
} from '../helpers/modelFiles.ts'

const JSON_FILES = ['config.json', 'generation_config.json', 'tokenizer.json', 'tokenizer_config.json']
const INDEX = '/model/model.safetensors.index.json'

const tiny = modelAnswers(QWEN3_MTP, ['config.json', 'model.safetensors'])
const tinyWeights = readBytes(QWEN3_MTP, 'model.safetensors')
const POLL = { timeout: 30_000 }

/** Opens a model and reads all of it; gives the hash of each tensor's bytes in file order. */
async function loadHashes(url: string): Promise<Map<string, string>> {
  const { checkpoint } = await openModel(url)
  const data = await readRanges(checkpoint, allRanges(checkpoint))
  return new Map([...checkpoint.tensors.keys()].map((name, i) => [name, sha(data[i] ?? new Uint8Array(0))]))
}

function plainHashes(file: Uint8Array): Map<string, string> {
  const { header, data } = readSafetensors(file)
  const entries = Object.entries(header).sort(([, a], [, b]) => (a.data_offsets[0] ?? 0) - (b.data_offsets[0] ?? 0))
  return new Map(entries.map(([name, entry]) => [name, sha(data.subarray(...entry.data_offsets))]))
}

function sha(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex')
}

describe('a good load', () => {
  it('gives every file of the embedded model, and every tensor with its bytes in file order', async () => {
    const { model, requests } = await serveModel(modelAnswers(FAIRY_TALES, [...JSON_FILES, 'model.safetensors']))
    const files = await openModel(model)
    expect(files.config).toEqual(readJson(FAIRY_TALES, 'config.json'))
    expect(files.generationConfig).toEqual(readJson(FAIRY_TALES, 'generation_config.json'))
    expect(files.tokenizer).toEqual(readJson(FAIRY_TALES, 'tokenizer.json'))
    expect(files.tokenizerConfig).toEqual(readJson(FAIRY_TALES, 'tokenizer_config.json'))
    expect(requests.filter(({ path }) => path === WEIGHTS).map(({ range }) => range)).toEqual(['bytes=0-262143'])

    const file = readBytes(FAIRY_TALES, 'model.safetensors')
    const expected = plainHashes(file)
    expect([...files.checkpoint.tensors.keys()]).toEqual([...expected.keys()])
    const { header, data } = readSafetensors(file)
    expect(files.checkpoint.tensors.get('mtp.fc.weight')).toEqual({
      name: 'mtp.fc.weight',
      dtype: 'BF16',
      shape: [192, 384],
      bytes: 2 * 192 * 384,
      file: 0,
      offset: file.length - data.length + (header['mtp.fc.weight']?.data_offsets[0] ?? 0),
    })
    expect([...(await loadHashes(model))]).toEqual([...expected])
    // A plain GET, which the browser's cache may answer.
    const [, , whole, ...others] = requests.filter(({ path }) => path === WEIGHTS)
    expect([whole?.range, others]).toEqual([undefined, []])
  })

  it.each(['', '/'])('takes the folder with "%s" at the end, and hands a query on to every file', async (slash) => {
    const answers = Object.fromEntries(Object.entries(tiny).map(([path, answer]) => [`${path}?token=a%20b`, answer]))
    const { model, requests } = await serveModel(answers)
    const files = await openModel(`${model}${slash}?token=a%20b#part`)
    expect(files.checkpoint.tensors.size).toBe(plainHashes(tinyWeights).size)
    expect(requests.every(({ path }) => path.endsWith('?token=a%20b'))).toBe(true)
  })

  it('has undefined for optional files that are missing, also where the server sends a page in their place', async () => {
    for (const answer of [undefined, { body: HTML }]) {
      const { model } = await serveModel({ ...tiny, ...(answer && { '/model/tokenizer.json': answer }) })
      const files = await openModel(model)
      expect([files.generationConfig, files.tokenizer, files.tokenizerConfig]).toEqual([
        undefined,
        undefined,
        undefined,
      ])
    }
  })

  it('reads the header from the start of the file where Range is ignored, and stops the transfer there', async () => {
    const big = plainTensors({ a: [1024, 1024], b: [4096, 1024] })
    const { model, requests } = await serveModel({ ...tiny, [WEIGHTS]: { body: big, ranges: false } })
    const files = await openModel(model)
    expect([...files.checkpoint.tensors.keys()]).toEqual(['a', 'b'])
    await expect.poll(() => requests.find(({ path }) => path === WEIGHTS)?.dropped, POLL).toBe(true)
    expect([...(await loadHashes(model))]).toEqual([...plainHashes(big)])
  })

  it('reads a header larger than the first request', async () => {
    const names = Array.from({ length: 5000 }, (_, i) => [`model.layers.${i}.some.long.name.weight`, [1]] as const)
    const file = plainTensors(Object.fromEntries(names))
    const { model, requests } = await serveModel({ ...tiny, [WEIGHTS]: { body: file } })
    expect((await openModel(model)).checkpoint.tensors.size).toBe(5000)
    expect(requests.filter(({ path }) => path === WEIGHTS)).toHaveLength(2)
    expect([...(await loadHashes(model))]).toEqual([...plainHashes(file)])
  })

  it('loads from a server that says no length', async () => {
    const { model } = await serveModel({ ...tiny, [WEIGHTS]: { body: tinyWeights, ranges: false, chunked: true } })
    expect([...(await loadHashes(model))]).toEqual([...plainHashes(tinyWeights)])
  })

  it('loads where the size of the file is hidden, as servers do from other origins', async () => {
    const { model } = await serveModel({ ...tiny, [WEIGHTS]: { body: tinyWeights } })
    const hiding: typeof fetch = async (input, init) => {
      const response = await fetch(input, init)
      const headers = new Headers(response.headers)
      headers.delete('content-range')
      return new Response(response.body, { status: response.status, headers })
    }
    const { checkpoint } = await openModel(model, { fetch: hiding })
    const data = await readRanges(checkpoint, allRanges(checkpoint))
    expect(data.map(sha)).toEqual([...plainHashes(tinyWeights).values()])
    const [first] = allRanges(checkpoint)
    if (!first) throw new Error('a model has tensors')
    expect(await readRanges(checkpoint, [first])).toEqual([data[0]])
  })

  it('reads tensors without elements, wherever they stand', async () => {
    const file = plainTensors({ a: [0], b: [2], c: [0, 4], d: [3], e: [0] })
    const { model } = await serveModel({ ...tiny, [WEIGHTS]: { body: file } })
    expect(await loadHashes(model)).toEqual(plainHashes(file))
  })

  it('reports progress that grows to the total, in a few hundred calls', async () => {
    const { model } = await serveModel(modelAnswers(FAIRY_TALES, ['config.json', 'model.safetensors']))
    const { checkpoint } = await openModel(model)
    const ranges = allRanges(checkpoint)
    const total = ranges.reduce((sum, { end }) => sum + end, 0)
    const reports: FetchProgress[] = []
    await readRanges(checkpoint, ranges, { onProgress: (progress) => reports.push(progress) })
    expect(reports.at(-1)).toEqual({ file: 'model.safetensors', loaded: total, total })
    expect(reports.length).toBeLessThanOrEqual(201)
    expect(reports.every(({ loaded }, i) => loaded > (reports[i - 1]?.loaded ?? 0))).toBe(true)
  })
})

describe('a sharded model', () => {
  const shards = { 'model-00001-of-00002.safetensors': ['a', 'b'], 'model-00002-of-00002.safetensors': ['c'] }
  const bodies = Object.entries(shards).map(([name, tensors]) => {
    return [name, plainTensors(Object.fromEntries(tensors.map((tensor, i) => [tensor, [i + 3, 4]])))] as const
  })
  const map = Object.fromEntries(Object.entries(shards).flatMap(([file, names]) => names.map((name) => [name, file])))
  const files: Record<string, Answer> = {
    '/model/config.json': { body: '{}' },
    ...Object.fromEntries(bodies.map(([name, body]) => [`/model/${name}`, { body }])),
  }
  const withIndex = (index: unknown): Record<string, Answer> => ({ ...files, [INDEX]: { body: JSON.stringify(index) } })

  it('is read through its index, file after file', async () => {
    const { model } = await serveModel(withIndex({ metadata: { total_size: 1 }, weight_map: map }))
    expect([...(await loadHashes(model))]).toEqual(bodies.flatMap(([, body]) => [...plainHashes(body)]))
  })

  it.each<[string, unknown, string, string]>([
    ['no weight_map', { metadata: {} }, 'MODEL_FORMAT', 'has no weight_map'],
    [
      'a file elsewhere',
      { weight_map: { a: '../secret.safetensors' } },
      'MODEL_FORMAT',
      '"../secret.safetensors", not a',
    ],
    [
      'a file on another host',
      { weight_map: { a: '//x.org/a.safetensors' } },
      'MODEL_FORMAT',
      'not a .safetensors file',
    ],
    ['a file that is missing', { weight_map: { a: 'x.safetensors' } }, 'MODEL_FETCH', '/model/x.safetensors: HTTP 404'],
    [
      'a tensor in the wrong file',
      { weight_map: { ...map, c: 'model-00001-of-00002.safetensors' } },
      'MODEL_FORMAT',
      'puts tensor c into model-00001-of-00002.safetensors, which does not hold it',
    ],
  ])('is refused with %s', async (_, index, code, message) => {
    const error = await openError(withIndex(index))
    expect(error.code).toBe(code)
    expect(error.message).toContain(message)
  })

  it('is refused where two files hold the same tensor', async () => {
    const twin = { '/model/twin.safetensors': { body: plainTensors({ a: [1], z: [1] }) } }
    const error = await openError({ ...withIndex({ weight_map: { ...map, z: 'twin.safetensors' } }), ...twin })
    expect(error.code).toBe('MODEL_FORMAT')
    expect(error.message).toContain('/model/twin.safetensors holds tensor a, which another file of the model holds too')
  })
})
