/** Ranges of a checkpoint's bytes: exact in any order, in few requests, from servers of every kind. */

import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ByteRange, FetchProgress } from '../../src/loader/checkpoint.ts'
import { openModel } from '../../src/loader/source.ts'
import {
  type Answer,
  honest,
  type MemoryFile,
  memoryCheckpoint,
  memoryFile,
  withoutRanges,
} from '../helpers/memoryFiles.ts'
import { plainTensors, readRanges, serveModel, thrownBy, WEIGHTS } from '../helpers/modelFiles.ts'

const KIB = 1024
const LARGE = 200 * KIB

/** Ten tensors in two files, far enough from one another to need a request each where they are asked for alone. */
const FILES = ['one', 'two'].map((name) => {
  return memoryFile(name, 1000, Object.fromEntries([0, 1, 2, 3, 4].map((i) => [`${name}${i}`, LARGE + i])))
})

const whole = (tensor: string, file = FILES.find(({ name }) => tensor.startsWith(name))): ByteRange => {
  const [begin = 0, end = 0] = file?.tensors[tensor] ?? []
  return { tensor, begin: 0, end: end - begin }
}

function bytesOf(files: readonly MemoryFile[], { tensor, begin, end }: ByteRange): Uint8Array {
  const file = files.find(({ tensors }) => tensor in tensors)
  const [start] = file?.tensors[tensor] ?? [Number.NaN]
  return file?.bytes.slice(start + begin, start + end) ?? new Uint8Array(0)
}

/** Compared in place of the bytes: one by one they take minutes. */
const hashes = (data: readonly Uint8Array[]) => data.map((bytes) => createHash('sha256').update(bytes).digest('hex'))

const totalOf = (ranges: readonly ByteRange[]): number => ranges.reduce((sum, { begin, end }) => sum + end - begin, 0)

describe('ranges', () => {
  const files = [memoryFile('a', 37, { a0: 70_000, a1: 1, a2: 0, a3: 130_000 }), memoryFile('b', 8, { b0: 3, b1: 500 })]
  const tensors = files.flatMap((file) => Object.keys(file.tensors).map((tensor) => whole(tensor, file)))
  const someRange = fc
    .constantFrom(...tensors)
    .chain(({ tensor, end }) =>
      fc.tuple(fc.nat(end), fc.nat(end)).map(([a, b]) => ({ tensor, begin: Math.min(a, b), end: Math.max(a, b) })),
    )

  it.each<[string, Answer]>([
    ['by ranges', honest],
    ['whole alone', withoutRanges],
    ['without lengths', (bytes, range) => new Response(bytes.slice(...(range ?? [])), { status: range ? 206 : 200 })],
  ])('come exactly, in the order asked for, from a server that answers %s', async (_, answer) => {
    await fc.assert(
      fc.asyncProperty(fc.array(someRange, { maxLength: 30 }), async (ranges) => {
        const { checkpoint, requests } = memoryCheckpoint(files, answer)
        const reports: FetchProgress[] = []
        const data = await readRanges(checkpoint, ranges, { onProgress: (progress) => reports.push(progress) })
        expect(hashes(data)).toEqual(hashes(ranges.map((range) => bytesOf(files, range))))
        const total = totalOf(ranges)
        expect(reports.every(({ loaded }, i) => loaded > (reports[i - 1]?.loaded ?? 0))).toBe(true)
        if (total > 0) expect(reports.at(-1)).toMatchObject({ loaded: total, total })
        expect(requests.length).toBeLessThanOrEqual(ranges.length)
      }),
      { numRuns: 60 },
    )
  })

  it('that follow one another in a file, or nearly, are one request', async () => {
    const { checkpoint, requests } = memoryCheckpoint(FILES)
    const ranges = [
      { ...whole('one1'), end: LARGE - 64 * KIB + 2 }, // the gap is one byte less than the limit
      { ...whole('one2'), end: LARGE - 64 * KIB + 2 }, // the gap is the limit
      whole('one3'),
      whole('two3'),
    ]
    expect(hashes(await readRanges(checkpoint, ranges))).toEqual(hashes(ranges.map((range) => bytesOf(FILES, range))))
    const [begin = 0] = FILES[0]?.tensors.one1 ?? []
    const [next = 0, end = 0] = FILES[0]?.tensors.one3 ?? []
    const [twoBegin = 0, twoEnd = 0] = FILES[1]?.tensors.two3 ?? []
    expect(requests).toEqual([
      { name: 'one', range: `${begin}-${begin + LARGE + 1 + LARGE - 64 * KIB + 2 - 1}`, cache: 'no-store' },
      { name: 'one', range: `${next}-${end - 1}`, cache: 'no-store' },
      { name: 'two', range: `${twoBegin}-${twoEnd - 1}`, cache: 'no-store' },
    ])
  })

  it('that are all of the data, or nearly, are a plain GET of each file, which the browser may have cached', async () => {
    const { checkpoint, requests } = memoryCheckpoint(FILES)
    const ranges = [...checkpoint.tensors.keys()].map((tensor) => whole(tensor))
    await readRanges(checkpoint, ranges)
    await readRanges(checkpoint, [
      { ...whole('one0'), begin: 64 * KIB - 1 },
      ...ranges.slice(1, 4),
      { ...whole('one4'), end: LARGE - 64 * KIB + 5 },
    ])
    expect(requests.map(({ name, range }) => [name, range])).toEqual([
      ['one', undefined],
      ['two', undefined],
      ['one', undefined],
    ])
  })

  it('of a server that ignores Range are cut from the file, fetched once', async () => {
    const { checkpoint, requests } = memoryCheckpoint(FILES, withoutRanges)
    for (const tensor of ['one3', 'one1', 'one3']) {
      expect(hashes(await readRanges(checkpoint, [whole(tensor)]))).toEqual(hashes([bytesOf(FILES, whole(tensor))]))
    }
    expect(requests).toHaveLength(1)
  })

  it('of tensors in the order of a hash table, many and small, are cut from the file, fetched once', async () => {
    const names = Array.from({ length: 40 }, (_, i) => `t${i}`)
    const file = memoryFile('hashed', 100, Object.fromEntries(names.map((name) => [name, 66 * KIB])))
    const { checkpoint, requests } = memoryCheckpoint([file])
    const ranges = names.map((_, i) => whole(`t${(i * 17) % 40}`, file)).slice(0, 30)
    const reports: FetchProgress[] = []
    const data = await readRanges(checkpoint, ranges, { onProgress: (progress) => reports.push(progress) })
    expect(hashes(data)).toEqual(hashes(ranges.map((range) => bytesOf([file], range))))
    expect(requests).toEqual([{ name: 'hashed', range: undefined, cache: undefined }])
    expect(reports.at(-1)).toEqual({ file: 'hashed', loaded: totalOf(ranges), total: totalOf(ranges) })
    expect(hashes(await readRanges(checkpoint, [whole('t39', file)]))).toEqual(
      hashes([bytesOf([file], whole('t39', file))]),
    )
    expect(requests).toHaveLength(1)
  })
})

describe('the next bytes wait', () => {
  it('until those before have been taken: none are pulled from the server meanwhile', async () => {
    let pulled = 0
    const slow: Answer = (bytes, range) => {
      const [begin, end] = range ?? [0, bytes.length]
      const stream = new ReadableStream<Uint8Array>(
        {
          pull: (controller) => {
            const next = begin + 1000 * pulled++
            controller.enqueue(bytes.slice(next, Math.min(next + 1000, end)))
            if (next + 1000 >= end) controller.close()
          },
        },
        { highWaterMark: 0 },
      )
      return new Response(stream, { status: range ? 206 : 200 })
    }
    const { checkpoint } = memoryCheckpoint(FILES, slow)
    let taking = 0
    let taken = 0
    await checkpoint.read([whole('one1'), whole('one2')], async (_, { length }) => {
      expect(++taking).toBe(1)
      const before = pulled
      await new Promise((resolve) => setImmediate(resolve))
      expect(pulled).toBe(before)
      taking--
      taken += length
    })
    expect(taken).toBe(totalOf([whole('one1'), whole('one2')]))
  })
})

describe('a part of a file', () => {
  /** The error of reading one tensor of a server whose answers to ranges are so changed. */
  const fault = async (answer: Answer): Promise<{ code: unknown; message: string }> => {
    const { checkpoint } = memoryCheckpoint(FILES, answer)
    return thrownBy(() => readRanges(checkpoint, [whole('one2')]))
  }
  const [file] = FILES
  const [begin = 0, end = 0] = file?.tensors.one2 ?? []
  const size = file?.bytes.length
  const part = (bytes: Uint8Array, headers: Record<string, string> = {}): Response =>
    new Response(bytes.slice(), { status: 206, headers })

  it.each<[string, Answer, string, string]>([
    ['an error', () => new Response('', { status: 503 }), 'MODEL_FETCH', 'HTTP 503'],
    ['a missing file', () => new Response('', { status: 404 }), 'MODEL_FETCH', 'HTTP 404'],
    [
      'too few bytes',
      (bytes, range) => part(bytes.slice(...(range ?? [])).subarray(0, 99)),
      'MODEL_FETCH',
      `the body ended after 99 of ${LARGE + 2} bytes`,
    ],
    [
      'too many bytes',
      (bytes) => part(bytes.subarray(begin, end + 1)),
      'MODEL_FETCH',
      `asked for the bytes ${begin}…${end - 1}, the server sent others`,
    ],
    [
      'too many bytes, by its headers',
      (bytes) => part(bytes, { 'content-length': String(end - begin + 1) }),
      'MODEL_FETCH',
      'the server sent others',
    ],
    [
      'another part',
      (bytes) => part(bytes.subarray(begin - 1, end - 1), { 'content-range': `bytes ${begin - 1}-${end - 2}/${size}` }),
      'MODEL_FETCH',
      'the server sent others',
    ],
    [
      'a part of a file that has grown since',
      (bytes) => part(bytes.subarray(begin, end), { 'content-range': `bytes ${begin}-${end - 1}/${Number(size) + 7}` }),
      'MODEL_FORMAT',
      `one has ${Number(size) + 7} bytes, its header describes a file of ${size}`,
    ],
    [
      'that the file has no such part',
      () => new Response('', { status: 416, headers: { 'content-range': 'bytes */1000' } }),
      'MODEL_FORMAT',
      `one has 1000 bytes, its header describes a file of ${size}`,
    ],
    ['that, without a size', () => new Response('', { status: 416 }), 'MODEL_FORMAT', 'one has too few bytes'],
    [
      'a whole file that is another',
      (bytes) => new Response(bytes.slice(64)),
      'MODEL_FETCH',
      `the body ended after ${Number(size) - 64} of ${size} bytes`,
    ],
  ])('is refused where the server answers with %s', async (_, answer, code, message) => {
    const error = await fault(answer)
    expect(error.message).toContain(message)
    expect(error.message).toContain('https://models.test/one')
    expect(error.code).toBe(code)
  })

  it('is not sent further once the caller aborts, and ends with ABORTED', async () => {
    const big = plainTensors({ a: [40_000], b: [8192, 1024], c: [40_000] })
    const { model, requests } = await serveModel({ '/model/config.json': { body: '{}' }, [WEIGHTS]: { body: big } })
    const { checkpoint } = await openModel(model)
    const controller = new AbortController()
    const { signal } = controller
    const b = { tensor: 'b', begin: 0, end: 4 * 8192 * 1024 }
    const error = await thrownBy(() => checkpoint.read([b], () => controller.abort(), { signal }))
    expect(error).toMatchObject({ code: 'ABORTED', message: expect.stringContaining('model.safetensors was aborted') })
    await expect.poll(() => requests.at(-1)?.dropped, { timeout: 30_000 }).toBe(true)
    expect(requests.at(-1)?.range).toMatch(/^bytes=\d+-\d+$/)
  })

  it('is cut from a kept file no more once the caller has aborted', async () => {
    const { checkpoint } = memoryCheckpoint(FILES, withoutRanges)
    await readRanges(checkpoint, [whole('one1')])
    const error = await thrownBy(() => readRanges(checkpoint, [whole('one2')], { signal: AbortSignal.abort() }))
    expect(error.code).toBe('ABORTED')
  })
})
