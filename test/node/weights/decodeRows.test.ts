/** Decoders of file encodings on random bytes, against the formulas of the files one element at a time. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeRows } from '../../../src/weights/decodeRows.ts'
import { dequantiseRows } from '../../../src/weights/dequantise.ts'
import {
  type Encoding,
  encodingBytes,
  formatOf,
  type GgmlType,
  inputsUnit,
  isRowWise,
  matrixBytes,
} from '../../../src/weights/encoding.ts'
import { codeBytes, scaleWords } from '../../../src/weights/format.ts'
import { seededRandom } from '../../helpers/random.ts'
import { BLOCKS, fileWeight } from '../../helpers/weightReference.ts'

const GGML_TYPES = Object.keys(BLOCKS) as GgmlType[]
const GROUPS = [32, 64, 128] as const

const ENCODINGS: readonly Encoding[] = [
  ...(['f32', 'f16', 'bf16'] as const).map((dtype) => ({ kind: 'plain', dtype }) as const),
  ...GGML_TYPES.map((type) => ({ kind: 'ggml', type }) as const),
  ...GROUPS.flatMap((group) =>
    ([4, 8] as const).flatMap((bits) =>
      (['f16', 'bf16'] as const).map((halves) => ({ kind: 'mlx', bits, group, halves }) as const),
    ),
  ),
  ...GROUPS.flatMap((group) =>
    (['less one', 'as they are'] as const).map((zeros) => ({ kind: 'gptq', group, zeros }) as const),
  ),
  ...GROUPS.map((group) => ({ kind: 'awq', group }) as const),
]

const titled = ENCODINGS.map((encoding) => [Object.values(encoding).join(' '), encoding] as const)

/** Where f16 or bf16 scales lie in the file's tensors: tensor and offset. */
function scalePlaces(encoding: Encoding, sizes: readonly number[]): (readonly [tensor: number, offset: number])[] {
  const every = (tensor: number, step: number, first = 0): (readonly [number, number])[] =>
    Array.from({ length: (sizes[tensor] ?? 0) / step }, (_, i) => [tensor, i * step + first] as const)
  switch (encoding.kind) {
    case 'plain':
      return []
    case 'ggml': {
      const { bytes, halves } = BLOCKS[encoding.type]
      return halves.flatMap((first) => every(0, bytes, first))
    }
    case 'mlx':
      return [...every(1, 2), ...every(2, 2)]
    default:
      return every(2, 2)
  }
}

/** Random tensors that begin anywhere, with scales that are finite. */
function randomData(encoding: Encoding, sizes: readonly number[], seed: number, offset: number): Uint8Array[] {
  const random = seededRandom(seed)
  const data = sizes.map((size, i) => {
    const at = (offset >> (2 * i)) & 3
    return new Uint8Array(size + 7).map(() => Math.floor(256 * random())).subarray(at, at + size)
  })
  const isBf16 = encoding.kind === 'mlx' && encoding.halves === 'bf16'
  for (const [tensor, place] of scalePlaces(encoding, sizes)) {
    const bytes = data[tensor] as Uint8Array
    // One bit of the exponent is 0.
    if (isBf16) bytes[place] = (bytes[place] ?? 0) & 0x7f
    else bytes[place + 1] = (bytes[place + 1] ?? 0) & 0xfb
  }
  return data
}

/** A number, or NaN, at its place; -0 is 0. */
function same(a: number, b: number): boolean {
  return a === b || (Number.isNaN(a) && Number.isNaN(b))
}

describe('decoded rows', () => {
  it.each(titled)('of %s have the weights that the file defines, at any offset and in any chunks', (_, encoding) => {
    const unit = inputsUnit(encoding)
    const shape = fc.record({
      seed: fc.nat(),
      rows: fc.integer({ min: 1, max: 4 }).map((rows) => (isRowWise(encoding) ? rows : 8 * rows)),
      inputs: fc.integer({ min: 1, max: unit === 256 ? 2 : 5 }).map((units) => unit * units),
      offset: fc.nat({ max: 63 }),
      first: fc.nat({ max: 3 }),
    })
    fc.assert(
      fc.property(shape, ({ seed, rows, inputs, offset, first }) => {
        const data = randomData(encoding, matrixBytes(encoding, rows, inputs), seed, offset)
        const before = data.map((bytes) => bytes.slice())
        const decoded = decodeRows(encoding, data, rows, inputs)
        expect(decoded).toMatchObject({ format: formatOf(encoding), inputs, count: rows })
        expect(decoded.codes.length).toBe(rows * codeBytes(decoded.format, inputs))
        expect(decoded.scales.length).toBe(rows * scaleWords(decoded.format, inputs))

        const out = new Float32Array(first + rows * inputs + 2).fill(-77)
        dequantiseRows(decoded, out, first)
        expect([...out.subarray(0, first), ...out.subarray(-2)].every((value) => value === -77)).toBe(true)
        const wrong: unknown[] = []
        for (let row = 0; row < rows; row++) {
          for (let k = 0; k < inputs; k++) {
            const expected = Math.fround(fileWeight(encoding, data, [rows, inputs], row, k))
            const weight = out[first + row * inputs + k] ?? 0
            if (!same(weight, expected)) wrong.push({ row, k, weight, expected })
          }
        }
        expect(wrong).toEqual([])
        expect(data).toEqual(before)

        if (!isRowWise(encoding)) return
        const sizes = encodingBytes(encoding, inputs)
        for (let row = 0; row < rows; row++) {
          const one = data.map((bytes, i) => bytes.subarray(row * (sizes[i] ?? 0), (row + 1) * (sizes[i] ?? 0)))
          const single = decodeRows(encoding, one, 1, inputs)
          const [codes, words] = [decoded.codes.length / rows, decoded.scales.length / rows]
          expect([...single.codes]).toEqual([...decoded.codes.subarray(row * codes, (row + 1) * codes)])
          expect([...single.scales]).toEqual([...decoded.scales.subarray(row * words, (row + 1) * words)])
        }
      }),
      { numRuns: 12 },
    )
  })

  it.each(titled.filter(([, { kind }]) => kind !== 'plain'))(
    'of %s with scales that are not finite are decoded, and only their groups are not finite',
    (_, encoding) => {
      const [rows, inputs] = [8, 2 * inputsUnit(encoding)]
      const sizes = matrixBytes(encoding, rows, inputs)
      const data = randomData(encoding, sizes, 7, 0)
      const [tensor, place] = scalePlaces(encoding, sizes)[1] as readonly [number, number]
      const bytes = data[tensor] as Uint8Array
      bytes[place] = 0xc1
      bytes[place + 1] = 0x7f // NaN in both formats
      const out = new Float32Array(rows * inputs)
      dequantiseRows(decodeRows(encoding, data, rows, inputs), out)
      const inFile = out.map((_, i) =>
        Math.fround(fileWeight(encoding, data, [rows, inputs], Math.floor(i / inputs), i % inputs)),
      )
      expect(out.filter(Number.isNaN).length).toBe(inFile.filter(Number.isNaN).length)
      expect(out.filter(Number.isNaN).length).toBe(inputsUnit(encoding))
      expect([...out].every((weight, i) => same(weight, inFile[i] ?? 0))).toBe(true)
    },
  )

  it('of no rows are empty', () => {
    for (const encoding of ENCODINGS) {
      const inputs = inputsUnit(encoding)
      const data = matrixBytes(encoding, 0, inputs).map(() => new Uint8Array(0))
      const { count, codes, scales } = decodeRows(encoding, data, 0, inputs)
      expect([count, codes.length, scales.length]).toEqual([0, 0, 0])
    }
  })

  it('are refused where the sizes are not those of the encoding', () => {
    for (const encoding of ENCODINGS) {
      const inputs = inputsUnit(encoding)
      const data = matrixBytes(encoding, 8, inputs).map((size) => new Uint8Array(size))
      for (let i = 0; i < data.length; i++) {
        const short = data.map((bytes, index) => (index === i ? bytes.subarray(1) : bytes))
        expect(() => decodeRows(encoding, short, 8, inputs)).toThrow('invariant: 8 rows')
      }
      expect(() => decodeRows(encoding, data.slice(1), 8, inputs)).toThrow('invariant: 8 rows')
      if (inputs > 1) expect(() => decodeRows(encoding, data, 8, inputs + 1)).toThrow('invariant: ')
    }
  })
})

describe('the codes of', () => {
  const block = (size: number, bytes: Readonly<Record<number, number>>): Uint8Array => {
    const data = new Uint8Array(size)
    for (const [at, byte] of Object.entries(bytes)) data[Number(at)] = byte
    return data
  }

  it('a block of 4 bits are paired by neighbours', () => {
    const { codes } = decodeRows({ kind: 'ggml', type: 'q4_0' }, [block(18, { 2: 0x51, 3: 0x62, 17: 0xfe })], 1, 32)
    expect([...codes]).toEqual([0x21, 0, 0, 0, 0, 0, 0, 0xe0, 0x65, 0, 0, 0, 0, 0, 0, 0xf0])
  })

  it('a block of 8 bits are 128 above the integers of the file', () => {
    const { codes } = decodeRows({ kind: 'ggml', type: 'q8_0' }, [block(34, { 2: 0x80, 3: 0xff, 33: 0x7f })], 1, 32)
    expect([codes[0], codes[1], codes[2], codes[31]]).toEqual([0, 127, 128, 255])
  })

  it('plain and MLX rows are not copied', () => {
    const plain = new Uint8Array(9).subarray(1)
    expect(decodeRows({ kind: 'plain', dtype: 'f32' }, [plain], 2, 1).codes).toBe(plain)
    const words = new Uint8Array(16)
    const encoding = { kind: 'mlx', bits: 4, group: 32, halves: 'f16' } as const
    expect(decodeRows(encoding, [words, new Uint8Array(2), new Uint8Array(2)], 1, 32).codes).toBe(words)
  })
})
