/** The GGUF header: any true header is read exactly, from as few bytes as it takes; any false one is refused by key or tensor. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { GGUF_START_BYTES, parseGguf } from '../../src/loader/gguf.ts'
import type { GgufValue } from '../../src/models/ggufFields.ts'
import { GGML_BLOCKS } from '../../src/weights/ggmlTypes.ts'
import {
  type GgufWriter,
  ggufFixture,
  ggufPrefix,
  parsedGguf,
  type ScalarType,
  TYPE,
  type Typed,
  type WrittenGguf,
  type WrittenTensor,
  writeGguf,
} from '../helpers/ggufWriter.ts'
import { thrownBy } from '../helpers/modelFiles.ts'

const URL = 'http://x/model.gguf'
const parse =
  (file: Uint8Array, fileBytes: number | undefined = file.length) =>
  () =>
    parseGguf(URL, file, fileBytes)

const [F32, Q8_0] = [0, 8]
const tensor = (name: string, offset = 0, shape: readonly number[] = [2, 32], type = Q8_0): WrittenTensor => {
  return { name, shape, type, offset }
}

const SCALARS: Readonly<Record<ScalarType, fc.Arbitrary<string | number | boolean>>> = {
  u8: fc.integer({ min: 0, max: 255 }),
  i8: fc.integer({ min: -128, max: 127 }),
  u16: fc.integer({ min: 0, max: 65_535 }),
  i16: fc.integer({ min: -32_768, max: 32_767 }),
  u32: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  i32: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  f32: fc.float(),
  f64: fc.double(),
  bool: fc.boolean(),
  string: fc.string({ unit: 'grapheme' }),
  u64: fc.maxSafeNat(),
  i64: fc.maxSafeInteger(),
}

const typed = fc
  .constantFrom(...(Object.keys(SCALARS) as ScalarType[]))
  .chain((type) =>
    fc.oneof(SCALARS[type], fc.array(SCALARS[type], { maxLength: 5 })).map((value): Typed => [type, value]),
  )

/** As JavaScript's own values, to compare with what was written. */
function plain(value: GgufValue, [type]: Typed): unknown {
  if (!ArrayBuffer.isView(value)) return value
  return Array.from(value, (item) => (type === 'bool' ? item === 1 : item))
}

describe('parseGguf', () => {
  it('reads back what was written: every value type, every tensor type, in file order', () => {
    const blocks = [...GGML_BLOCKS]
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.string({ minLength: 1 }).filter((key) => key !== '__proto__'),
          typed,
          { maxKeys: 6 },
        ),
        fc.uniqueArray(fc.string({ unit: 'grapheme' }), { maxLength: 6 }),
        fc.infiniteStream(fc.nat()),
        fc.constantFrom(2, 3),
        fc.constantFrom(1, 8, 32, 256),
        (own, names, numbers, version, alignment) => {
          const metadata: Record<string, Typed> = { ...own, 'general.alignment': ['u32', alignment] }
          const next = (limit: number) => numbers.next().value % limit
          let end = 0
          const tensors = names.map((name) => {
            const [type, block] = blocks[next(blocks.length)] ?? [F32, { type: 'f32', values: 1, bytes: 4 }]
            const shape = [...Array.from({ length: next(4) }, () => 1 + next(3)), block.values * (1 + next(3))]
            const bytes = (shape.reduce((product, size) => product * size, 1) / block.values) * block.bytes
            const offset = Math.ceil(end / alignment) * alignment
            end = offset + bytes
            return { name, shape, type, typeName: block.type, offset, bytes }
          })
          const file = writeGguf({ version, metadata, tensors, alignment, data: new Uint8Array(end) })
          const header = parsedGguf(file)
          expect(header.version).toBe(version)
          expect([...header.metadata.keys()]).toEqual(Object.keys(metadata))
          for (const [key, written] of Object.entries(metadata)) {
            expect(plain(header.metadata.get(key) ?? '', written)).toEqual(written[1])
          }
          expect(header.tensors).toEqual(
            tensors.map(({ name, shape, typeName, offset, bytes }) => ({ name, shape, type: typeName, offset, bytes })),
          )
          expect(header.dataStart).toBe(file.length - end)
        },
      ),
    )
  })

  it('keeps a byte order mark in a token: vocabularies have one', () => {
    const { metadata } = parsedGguf(writeGguf({ metadata: { tokens: ['string', ['\ufeff', '', '\u0000', '▁a']] } }))
    expect(metadata.get('tokens')).toEqual(['\ufeff', '', '\u0000', '▁a'])
  })

  it('asks for at least twice the bytes until they hold the header, and never for more than the file has', () => {
    const strings = new Uint8Array(9 * 300_000).map((_, i) => [1, 0, 0, 0, 0, 0, 0, 0, 0x41 + (i % 26)][i % 9] ?? 0)
    const tokens = Array.from({ length: 300_000 }, (_, id) => String.fromCharCode(strings[9 * id + 8] ?? 0))
    const writer = ggufPrefix(0, 2).string('tokens').u32(TYPE.array).u32(TYPE.string).u64(300_000).raw(strings)
    const file = writer.string('last').value(['u8', 7]).bytes
    const asked: number[] = []
    let size = 0
    for (;;) {
      const header = parseGguf(URL, file.subarray(0, size), file.length)
      if (!('needs' in header)) {
        expect(header.metadata.get('last')).toBe(7)
        expect(header.metadata.get('tokens')).toEqual(tokens)
        break
      }
      expect(header.needs).toBeGreaterThanOrEqual(Math.min(2 * size, file.length))
      expect(header.needs).toBeGreaterThan(size)
      expect(header.needs).toBeLessThanOrEqual(file.length)
      size = header.needs
      asked.push(size)
    }
    expect(asked[0]).toBe(GGUF_START_BYTES)
    // 300,000 strings are known to take 2.4 MB, before any of them is there.
    expect(asked[1]).toBeGreaterThan(2_400_000)
    expect(asked.length).toBeLessThanOrEqual(4)
  })

  it('gives the same header from every prefix that holds it, and asks for more with every shorter one', () => {
    const { file } = ggufFixture('llama-gguf-q4_0')
    const whole = parsedGguf(file)
    const end = 10_435
    for (let size = 0; size < end; size += 97) {
      expect(parseGguf(URL, file.subarray(0, size), file.length)).toEqual({ needs: file.length })
    }
    expect(parseGguf(URL, file.subarray(0, end - 1))).toEqual({ needs: GGUF_START_BYTES })
    expect(parseGguf(URL, file.subarray(0, end))).toEqual(whole)
    expect(parseGguf(URL, file.subarray(0, end + 1), file.length)).toEqual(whole)
  })

  it.each<[string, WrittenGguf, string]>([
    ['version 1', { version: 1 }, 'is GGUF version 1; versions 2 and 3'],
    ['version 4', { version: 4 }, 'is GGUF version 4; versions 2 and 3'],
    ['big-endian', { version: 0x03000000 }, 'is big-endian GGUF; versions 2 and 3 in little-endian'],
    ['an empty key', { metadata: { '': ['u8', 1] } }, 'metadata key 0 is empty'],
    [
      'an alignment of 24',
      { metadata: { 'general.alignment': ['u32', 24] } },
      'general.alignment is 24, it must be a power',
    ],
    ['an alignment of 0', { metadata: { 'general.alignment': ['u32', 0] } }, 'general.alignment is 0'],
    ['an alignment in text', { metadata: { 'general.alignment': ['string', '32'] } }, 'general.alignment is 32'],
    ['a boolean of 2', { metadata: { a: ['bool', 2] } }, 'metadata key a is a boolean of value 2'],
    [
      'an integer beyond 2^53',
      { metadata: { a: ['u64', 2 ** 53] } },
      'metadata key a reads 9007199254740992, beyond 2^53',
    ],
    [
      'one below -2^53',
      { metadata: { a: ['i64', [-(2 ** 60)]] } },
      'metadata key a reads -1152921504606847000, beyond',
    ],
    ['a tensor twice', { tensors: [tensor('a'), tensor('a', 96)] }, 'tensor a stands there twice'],
    ['5 dims', { tensors: [tensor('a', 0, [1, 1, 1, 1, 32])] }, 'tensor a has 5 dims, ggml has at most 4'],
    ['a removed type', { tensors: [tensor('a', 0, [2, 32], 4)] }, 'tensor a has type 4, which ggml does not define'],
    ['an unknown type', { tensors: [tensor('a', 0, [2, 32], 99)] }, 'tensor a has type 99'],
    [
      'a row of 33',
      { tensors: [tensor('a', 0, [2, 33])] },
      'rows of tensor a have 33 values, no whole number of q8_0 blocks of 32',
    ],
    ['a scalar in blocks', { tensors: [tensor('a', 0, [])] }, 'rows of tensor a have 1 values'],
    ['an odd offset', { tensors: [tensor('a', 16)] }, 'tensor a at offset 16 is not aligned to 32 bytes'],
    [
      'values beyond 2^53',
      { tensors: [tensor('a', 0, [2 ** 52, 32])] },
      'tensor a of q8_0 [4503599627370496, 32] at offset 0 ends beyond',
    ],
    ['an end beyond 2^53', { tensors: [tensor('a', 2 ** 53 - 32)] }, 'at offset 9007199254740960 ends beyond 2^53'],
    [
      'overlap, whatever the order',
      { tensors: [tensor('b', 64), tensor('a', 0), tensor('c', 160)], data: new Uint8Array(400) },
      'tensor b at offset 64 overlaps tensor a, which ends at 68',
    ],
    [
      'a cut file',
      { tensors: [tensor('a'), tensor('b', 96)], data: new Uint8Array(163) },
      'is cut off: tensor b at offset 96 ends at 164, the file has 163 bytes of data',
    ],
  ])('refuses %s', async (_, written, message) => {
    const error = await thrownBy(parse(writeGguf(written)))
    expect(error.code).toBe('MODEL_FORMAT')
    expect(error.message).toContain(`${URL} is `)
    expect(error.message).toContain(message)
  })

  const text = (start: string) => new TextEncoder().encode(start.padEnd(64, ' '))
  it.each<[string, Uint8Array, string]>([
    ['a page', text('<!doctype html><html>'), 'is an HTML page, not a GGUF file'],
    ['a pointer', text('version https://git-lfs.github.com/spec/v1'), 'is a Git LFS pointer'],
    [
      'safetensors',
      text(`${'\u0010'.padEnd(8, '\u0000')}{"a":1}`),
      'is a safetensors file, by its looks, not a GGUF file',
    ],
    ['an older ggml file', text('tjgg'), 'is a ggml file from before GGUF (convert'],
    ['anything else', text('gguf'), 'is of another format, not a GGUF file'],
    [
      'a key twice',
      ggufPrefix(0, 2).string('k').value(['u8', 1]).string('k').value(['u8', 2]).bytes,
      'metadata key k stands there twice',
    ],
    ['a value type of 13', ggufPrefix(0, 1).string('k').u32(13).u64(0).bytes, 'metadata key k has value type 13'],
    [
      'items of type 13',
      ggufPrefix(0, 1).string('k').u32(TYPE.array).u32(13).u64(0).bytes,
      'metadata key k has items of type 13',
    ],
    [
      'arrays of arrays',
      ggufPrefix(0, 1).string('k').u32(TYPE.array).u32(TYPE.array).u64(1).bytes,
      'is an array of arrays',
    ],
    [
      'text that is not UTF-8',
      ggufPrefix(0, 1).string('k').u32(TYPE.string).u64(1).raw(Uint8Array.of(255)).bytes,
      'metadata key k is not UTF-8',
    ],
    ['a file of 3 bytes', text('GGUF').subarray(0, 3), 'would reach byte 4, the file ends at 3; download it again'],
    ['a file without its tensors', ggufPrefix(1, 0).u64(0).bytes, 'a header of 0 keys, 1 tensors would reach byte 48'],
  ])('refuses %s', async (_, file, message) => {
    const error = await thrownBy(parse(file))
    expect(error).toMatchObject({ code: 'MODEL_FORMAT' })
    expect(error.message).toContain(message)
  })

  const HUGE = 2n ** 40n
  it.each<[string, GgufWriter]>([
    ['keys', ggufPrefix(0, HUGE)],
    ['tensors', ggufPrefix(HUGE, 0)],
    ['bytes of a key', ggufPrefix(0, 1).u64(HUGE)],
    ['bytes of a string', ggufPrefix(0, 1).string('k').u32(TYPE.string).u64(HUGE)],
    ...Object.entries(TYPE)
      .filter(([name]) => name !== 'array')
      .map(([name, type]): [string, GgufWriter] => {
        return [`items of ${name}`, ggufPrefix(0, 1).string('k').u32(TYPE.array).u32(type).u64(HUGE)]
      }),
    ['bytes of a tensor name', ggufPrefix(1, 0).u64(HUGE)],
  ])(
    'refuses 2^40 %s before it allocates anything, whether the size of the file is known or not',
    async (_, writer) => {
      const file = writer.raw(new Uint8Array(100)).bytes
      for (const fileBytes of [file.length, undefined, 2 ** 45]) {
        const error = await thrownBy(() => parseGguf(URL, file, fileBytes))
        expect(error.code).toBe('MODEL_FORMAT')
        const reason =
          fileBytes === file.length ? `the file ends at ${file.length}` : 'the limit of a header is 100000000'
        expect(error.message).toContain(reason)
      }
    },
  )

  it('takes the size of a type that it cannot decode, and a tensor without values', () => {
    const tensors = [tensor('a', 0, [3, 256], 22), tensor('none', 32, [0, 32]), tensor('b', 256, [1], F32)]
    const file = writeGguf({ tensors, data: new Uint8Array(260) })
    expect(parsedGguf(file).tensors.map(({ type, bytes }) => [type, bytes])).toEqual([
      ['iq2_s', 246],
      ['q8_0', 0],
      ['f32', 4],
    ])
  })
})
