/** The safetensors header: any true header is read exactly, any false one is refused by tensor. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { headerLength, parseHeader } from '../../src/loader/safetensors.ts'
import { thrownBy, writeSafetensors } from '../helpers/modelFiles.ts'

const DTYPE_BYTES = { BOOL: 1, U8: 1, F8_E4M3: 1, F16: 2, BF16: 2, I32: 4, F32: 4, I64: 8 } as const
type Dtype = keyof typeof DTYPE_BYTES

const URL = 'http://x/model.safetensors'
const bytesOf = (header: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(header))

const tensors = fc.uniqueArray(
  fc.record({
    name: fc.string({ unit: 'grapheme' }).filter((name) => name !== '__metadata__' && name !== '__proto__'),
    dtype: fc.constantFrom(...(Object.keys(DTYPE_BYTES) as Dtype[])),
    shape: fc.array(fc.nat(9), { maxLength: 3 }),
  }),
  { selector: ({ name }) => name, maxLength: 12 },
)

describe('parseHeader', () => {
  it('reads back what was written, in file order whatever the order of the JSON', () => {
    fc.assert(
      fc.property(tensors, fc.infiniteStream(fc.nat()), (list, keys) => {
        let end = 0
        const placed = list.map((tensor) => {
          const begin = end
          end += tensor.shape.reduce((product, size) => product * size, DTYPE_BYTES[tensor.dtype])
          return { ...tensor, begin, end }
        })
        const shuffled = placed.map((tensor) => [keys.next().value, tensor] as const).sort((a, b) => a[0] - b[0])
        const entries = shuffled.map(([, { name, dtype, shape, begin, end }]) => {
          return [name, { dtype, shape, data_offsets: [begin, end] }] as const
        })
        const header = Object.fromEntries([...entries, ['__metadata__', { format: 'pt' }]])
        const file = writeSafetensors(header, new Uint8Array(end))
        const length = headerLength(URL, file, file.length)
        const infos = parseHeader(URL, file.subarray(8, 8 + length), end)
        const filled = (list: readonly { name: string; bytes: number }[]) => list.filter(({ bytes }) => bytes > 0)
        const expected = placed.map(({ name, dtype, shape, begin, end }) => ({
          name,
          dtype,
          shape,
          bytes: end - begin,
        }))
        expect(filled(infos)).toEqual(filled(expected))
        expect(new Set(infos.map(({ name }) => name))).toEqual(new Set(expected.map(({ name }) => name)))
      }),
    )
  })

  const a = { dtype: 'F32', shape: [2], data_offsets: [0, 8] }
  it.each<[string, unknown, number, string]>([
    [
      'overlap',
      { a, b: { ...a, data_offsets: [4, 12] } },
      12,
      'tensor b at offset 4 overlaps tensor a, which ends at 8',
    ],
    ['gap', { a, b: { ...a, data_offsets: [12, 20] } }, 20, 'tensor b at offset 12 leaves a gap after tensor a'],
    ['gap at the start', { a: { ...a, data_offsets: [4, 12] } }, 12, 'leaves a gap after the start of the data'],
    [
      'past the end',
      { a, b: { ...a, data_offsets: [8, 16] } },
      12,
      'its header describes 16 bytes of data, the file has 12',
    ],
    ['bytes of another shape', { a: { ...a, shape: [3] } }, 8, 'tensor a of F32 [3] needs 12 bytes, has 8'],
    ['an absurd shape', { a: { ...a, shape: [2 ** 40, 2 ** 40] } }, 8, 'has 8'],
    ['backwards', { a: { ...a, data_offsets: [8, 0] } }, 8, 'tensor a ends at 0, before its start at 8'],
    [
      'negative offsets',
      { a: { ...a, data_offsets: [-8, 0] } },
      8,
      'tensor a has no valid dtype, shape and data_offsets',
    ],
    ['three offsets', { a: { ...a, data_offsets: [0, 8, 16] } }, 8, 'tensor a has no valid'],
    ['fractions', { a: { ...a, shape: [0.5] } }, 8, 'tensor a has no valid'],
    ['no dtype', { a: { shape: [2], data_offsets: [0, 8] } }, 8, 'tensor a has no valid'],
    ['not an object', { a: 7 }, 8, 'tensor a has no valid'],
    ['not a header', [1, 2], 8, 'its header is not a JSON object'],
  ])('refuses: %s', async (_, header, dataBytes, expected) => {
    const { code, message } = await thrownBy(() => parseHeader(URL, bytesOf(header), dataBytes))
    expect(code).toBe('MODEL_FORMAT')
    expect(message).toContain(expected)
    expect(message).toContain(URL)
  })

  it('leaves a dtype it does not know to whoever needs the tensor', () => {
    const header = { a: { dtype: 'F4', shape: [16], data_offsets: [0, 8] } }
    expect(parseHeader(URL, bytesOf(header), 8)).toEqual([{ name: 'a', dtype: 'F4', shape: [16], bytes: 8 }])
  })

  it('refuses text that is not UTF-8', async () => {
    const { code, message } = await thrownBy(() => parseHeader(URL, Uint8Array.of(0x7b, 0xff, 0x7d), 0))
    expect(code).toBe('MODEL_FORMAT')
    expect(message).toContain('its header is not JSON')
  })
})

describe('headerLength', () => {
  it.each<[string, Uint8Array, string]>([
    ['too short', new Uint8Array(5), 'has 5 bytes'],
    ['zero', new Uint8Array(16), 'header length reads 0 bytes'],
    ['GGUF', new TextEncoder().encode('GGUF\0\0\0\0\0\0\0\0'), 'is a GGUF file'],
    ['HTML', new TextEncoder().encode('\n<HTML><head>'), 'is an HTML page'],
    ['over the limit', writeSafetensors({}, new Uint8Array(8), 100_000_001n), 'the limit is 100000000'],
  ])('refuses: %s', async (_, file, expected) => {
    const { code, message } = await thrownBy(() =>
      headerLength(URL, file, expected.includes('limit') ? 1e9 : file.length),
    )
    expect(code).toBe('MODEL_FORMAT')
    expect(message).toContain(expected)
  })
})
