/** Loading over HTTP from servers, connections and files that fail: each fault ends with its code, naming URL and cause. */

import { describe, expect, it } from 'vitest'
import { openModel } from '../../src/loader/source.ts'
import type { Answer } from '../helpers/httpServer.ts'
import {
  allRanges,
  HTML,
  modelAnswers,
  openError,
  plainTensors,
  QWEN3_MTP,
  readBytes,
  readRanges,
  serveModel,
  thrownBy,
  WEIGHTS,
  writeSafetensors,
} from '../helpers/modelFiles.ts'

const tiny = modelAnswers(QWEN3_MTP, ['config.json', 'model.safetensors'])
const tinyWeights = readBytes(QWEN3_MTP, 'model.safetensors')
const POLL = { timeout: 30_000 }

describe('a server that refuses', () => {
  it('has no config.json', async () => {
    const { code, message, model } = await openError({})
    expect(code).toBe('MODEL_FETCH')
    expect(message).toBe(`cannot fetch ${model}/config.json: HTTP 404 Not Found`)
  })

  it('has no weights', async () => {
    const { code, message, model } = await openError(modelAnswers(QWEN3_MTP, ['config.json']))
    expect(code).toBe('MODEL_FETCH')
    expect(message).toContain(`cannot fetch ${model}/model.safetensors: HTTP 404 Not Found, and there is no`)
  })

  it.each(['config.json', 'tokenizer.json', 'model.safetensors'])('fails with 500 for %s', async (name) => {
    const { code, message, model } = await openError({ ...tiny, [`/model/${name}`]: { status: 500, body: 'oops' } })
    expect(code).toBe('MODEL_FETCH')
    expect(message).toBe(`cannot fetch ${model}/${name}: HTTP 500 Internal Server Error`)
  })

  it('forbids an optional file: that is not the same as having none', async () => {
    const { code, message } = await openError({ ...tiny, '/model/generation_config.json': { status: 403, body: '' } })
    expect(code).toBe('MODEL_FETCH')
    expect(message).toContain('generation_config.json: HTTP 403 Forbidden')
  })

  it('is not there', async () => {
    const { model, close } = await serveModel({})
    await close()
    const { code, message } = await thrownBy(() => openModel(model))
    expect(code).toBe('MODEL_FETCH')
    expect(message).toContain(`cannot fetch ${model}/config.json: server unreachable`)
    expect(message).toContain('ECONNREFUSED')
  })

  it('fails with 500 for the weights after their header was read', async () => {
    const answers: Record<string, Answer> = { ...tiny }
    const { model } = await serveModel(answers)
    const { checkpoint } = await openModel(model)
    answers[WEIGHTS] = { status: 503, body: '' }
    const { code, message } = await thrownBy(() => readRanges(checkpoint, allRanges(checkpoint)))
    expect(code).toBe('MODEL_FETCH')
    expect(message).toContain('model.safetensors: HTTP 503 Service Unavailable')
  })
})

describe('a transfer that breaks', () => {
  it.each(['config.json', 'tokenizer.json'])('in %s', async (name) => {
    const body = { body: '{"a": [1, 2', declaredBytes: 1000, cut: true }
    const { code, message, model } = await openError({ ...tiny, [`/model/${name}`]: body })
    expect(code).toBe('MODEL_FETCH')
    expect(message).toContain(`cannot fetch ${model}/${name}: the connection broke after`)
  })

  it('in the weights: body shorter than Content-Length', async () => {
    const answers: Record<string, Answer> = { ...tiny }
    const { model } = await serveModel(answers)
    const { checkpoint } = await openModel(model)
    answers[WEIGHTS] = { body: tinyWeights.subarray(0, 200_000), declaredBytes: tinyWeights.length, cut: true }
    const taken = new Set<number>()
    const { code, message } = await thrownBy(() =>
      checkpoint.read(allRanges(checkpoint), (index) => void taken.add(index)),
    )
    expect(code).toBe('MODEL_FETCH')
    expect(message).toContain(`cannot fetch ${model}/model.safetensors: the connection broke after`)
    expect(taken.size).toBeLessThan(checkpoint.tensors.size)
  })

  it('in the header', async () => {
    const cut = { body: tinyWeights.subarray(0, 100), ranges: false, declaredBytes: tinyWeights.length, cut: true }
    const { code, message } = await openError({ ...tiny, [WEIGHTS]: cut })
    expect(code).toBe('MODEL_FETCH')
    expect(message).toContain('model.safetensors: the connection broke after')
  })

  it('behind a fetch that ends short without an error', async () => {
    const { model } = await serveModel(tiny)
    const short: typeof fetch = async (input, init) => {
      const response = await fetch(input, init)
      const body = (await response.arrayBuffer()).slice(0, 150)
      return new Response(body, { status: response.status, headers: response.headers })
    }
    const { code, message } = await thrownBy(() => openModel(model, { fetch: short }))
    expect(code).toBe('MODEL_FETCH')
    expect(message).toMatch(/config\.json: the body ended after 150 of \d+ bytes/)
  })

  it('in weights of unknown length', async () => {
    const answers: Record<string, Answer> = { ...tiny }
    const { model } = await serveModel(answers)
    const { checkpoint } = await openModel(model)
    answers[WEIGHTS] = { body: tinyWeights.subarray(0, 200_000), chunked: true }
    const { code, message } = await thrownBy(() => readRanges(checkpoint, allRanges(checkpoint)))
    expect(code).toBe('MODEL_FETCH')
    expect(message).toContain(`model.safetensors: the body ended after 200000 of ${tinyWeights.length} bytes`)
  })
})

describe('an abort', () => {
  it('before anything is asked for', async () => {
    const { model, requests } = await serveModel(tiny)
    const { code, message } = await thrownBy(() => openModel(model, { signal: AbortSignal.abort() }))
    expect(code).toBe('ABORTED')
    expect(message).toContain(`${model}/config.json was aborted`)
    expect(requests).toEqual([])
  })

  it('while a server keeps silent', async () => {
    const { model, requests } = await serveModel({ ...tiny, '/model/config.json': { body: '{"a": 1}', stallAfter: 3 } })
    const controller = new AbortController()
    const opening = thrownBy(() => openModel(model, { signal: controller.signal }))
    await expect.poll(() => requests.length, POLL).toBe(1)
    controller.abort()
    expect((await opening).code).toBe('ABORTED')
    await expect.poll(() => requests[0]?.dropped, POLL).toBe(true)
  })

  it('in the middle of the weights', async () => {
    const answers: Record<string, Answer> = { ...tiny }
    const { model, requests } = await serveModel(answers)
    const { checkpoint } = await openModel(model)
    answers[WEIGHTS] = { body: tinyWeights, stallAfter: 200_000 }
    const controller = new AbortController()
    const taken = new Set<number>()
    const take = (index: number): void => {
      taken.add(index)
      if (taken.size === 3) setImmediate(() => controller.abort())
    }
    const { signal } = controller
    const { code, message } = await thrownBy(() => checkpoint.read(allRanges(checkpoint), take, { signal }))
    expect(code).toBe('ABORTED')
    expect(message).toContain('model.safetensors was aborted')
    expect(taken.size).toBeLessThan(checkpoint.tensors.size)
    await expect.poll(() => requests.at(-1)?.dropped, POLL).toBe(true)
  })

  it('is not what a failing sink ends with: its own error passes, and the transfer stops', async () => {
    const big = plainTensors({ a: [16], b: [8192, 1024] })
    const { model, requests } = await serveModel({ ...tiny, [WEIGHTS]: { body: big } })
    const { checkpoint } = await openModel(model)
    const fail = async (): Promise<void> => {
      throw new Error('no room for it')
    }
    await expect(checkpoint.read(allRanges(checkpoint), fail)).rejects.toThrow('no room for it')
    await expect.poll(() => requests.at(-1)?.dropped, POLL).toBe(true)
  })
})

describe('a file that is not what it says', () => {
  it.each(['config.json', 'model.safetensors'])('an HTML page for %s', async (name) => {
    const { code, message, model } = await openError({ ...tiny, [`/model/${name}`]: { body: HTML } })
    expect(code).toBe('MODEL_FORMAT')
    expect(message).toContain(`${model}/${name} is an HTML page`)
  })

  it('config.json that is no JSON', async () => {
    const { code, message, model } = await openError({ ...tiny, '/model/config.json': { body: '{"a": }' } })
    expect(code).toBe('MODEL_FORMAT')
    expect(message).toContain(`${model}/config.json is not JSON: `)
  })

  it.each<[string, Uint8Array | string, string]>([
    ['empty', '', 'is empty'],
    [
      'a Git LFS pointer',
      'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n',
      'is a Git LFS pointer',
    ],
    ['shorter than its header', tinyWeights.subarray(0, 100), 'the file has 100 bytes'],
    ['shorter than its data', tinyWeights.subarray(0, 300_000), 'is cut off: its header describes'],
    ['longer than its data', Buffer.concat([tinyWeights, new Uint8Array(4)]), 'is corrupted: its header describes'],
    [
      'of an absurd header length',
      writeSafetensors({}, new Uint8Array(9), 1n << 60n),
      'reads 1152921504606846976 bytes',
    ],
    ['of a header that is no JSON', writeSafetensors({}, new Uint8Array(9), 7n), 'its header is not JSON'],
  ])('weights %s', async (_, body, expected) => {
    for (const ranges of [true, false]) {
      if (body.length === 0 && !ranges) continue
      const { code, message, model } = await openError({ ...tiny, [WEIGHTS]: { body, ranges } })
      expect(message).toContain(expected)
      expect(message).toContain(`${model}/model.safetensors`)
      expect(code).toBe('MODEL_FORMAT')
    }
  })

  it('weights that another file replaced after their header was read', async () => {
    const answers: Record<string, Answer> = { ...tiny }
    const { model } = await serveModel(answers)
    const { checkpoint } = await openModel(model)
    const longer = Buffer.concat([tinyWeights, new Uint8Array(64)])
    const others: Answer[] = [{ body: longer }, { body: longer, chunked: true }, { body: tinyWeights.subarray(64) }]
    for (const other of others) {
      answers[WEIGHTS] = other
      const { code, message } = await thrownBy(() => readRanges(checkpoint, allRanges(checkpoint)))
      expect(code).toBe('MODEL_FORMAT')
      expect(message).toContain(`has ${other.body.length} bytes, its header describes a file of ${tinyWeights.length}`)
    }
  })

  it('a URL that is not absolute', async () => {
    const { code, message } = await thrownBy(() => openModel('/models/tiny/'))
    expect(code).toBe('INVALID_OPTION')
    expect(message).toBe('model URL "/models/tiny/" is not the absolute URL of a folder')
  })
})
