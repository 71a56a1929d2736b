/**
 * What every weight is, slowly: one element at a time, from the bytes of a file or from the engine's rows, by the formulas of the
 * formats in f64. Shares nothing with src/weights but types.
 */

import type { Encoding, GgmlType } from '../../src/weights/encoding.ts'
import type { QuantisedFormat, WeightRows } from '../../src/weights/format.ts'

/** The value of one f16 (5 bits of exponent) or bf16 (8), by the definition of IEEE 754. */
export function halfValue(bits: number, kind: 'f16' | 'bf16'): number {
  const [exponentBits, mantissaBits] = kind === 'f16' ? [5, 10] : [8, 7]
  const sign = bits >> 15 === 1 ? -1 : 1
  const most = 2 ** exponentBits - 1
  const exponent = (bits >> mantissaBits) & most
  const mantissa = (bits & (2 ** mantissaBits - 1)) / 2 ** mantissaBits
  const bias = 2 ** (exponentBits - 1) - 1
  if (exponent === most) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  if (exponent === 0) return sign * mantissa * 2 ** (1 - bias)
  return sign * (1 + mantissa) * 2 ** (exponent - bias)
}

type Bytes = Uint8Array
const u8 = (bytes: Bytes, at: number): number => bytes[at] ?? Number.NaN
const i8 = (bytes: Bytes, at: number): number => (u8(bytes, at) << 24) >> 24
const u16 = (bytes: Bytes, at: number): number => u8(bytes, at) + 256 * u8(bytes, at + 1)
const f16 = (bytes: Bytes, at: number): number => halfValue(u16(bytes, at), 'f16')
const bit = (bytes: Bytes, at: number, index: number): number => (u8(bytes, at + (index >> 3)) >> (index & 7)) & 1
/** Nibble `index` from byte `at` on: two a byte, the low one first. */
const nibble = (bytes: Bytes, at: number, index: number): number =>
  (u8(bytes, at + (index >> 1)) >> (4 * (index & 1))) & 15
/** Nibble j of a run of 2 · half: those of the low halves come first. */
const halved = (bytes: Bytes, at: number, half: number, j: number): number =>
  j < half ? u8(bytes, at + j) & 15 : u8(bytes, at + j - half) >> 4

/** Eight pairs of 6 bits in 12 bytes. */
function sixBits(b: Bytes, g: number): { sc: number; mn: number } {
  if (g < 4) return { sc: u8(b, g) & 63, mn: u8(b, g + 4) & 63 }
  return {
    sc: (u8(b, g + 4) & 15) | ((u8(b, g - 4) >> 6) << 4),
    mn: (u8(b, g + 4) >> 4) | ((u8(b, g) >> 6) << 4),
  }
}

interface Block {
  readonly inputs: number
  readonly bytes: number
  /** where its f16 numbers are */
  readonly halves: readonly number[]
  /** value j of the block */
  readonly value: (block: Bytes, j: number) => number
}

export const BLOCKS: Readonly<Record<GgmlType, Block>> = {
  q4_0: { inputs: 32, bytes: 18, halves: [0], value: (b, j) => f16(b, 0) * (halved(b, 2, 16, j) - 8) },
  q4_1: { inputs: 32, bytes: 20, halves: [0, 2], value: (b, j) => f16(b, 0) * halved(b, 4, 16, j) + f16(b, 2) },
  q5_0: {
    inputs: 32,
    bytes: 22,
    halves: [0],
    value: (b, j) => f16(b, 0) * (halved(b, 6, 16, j) + 16 * bit(b, 2, j) - 16),
  },
  q5_1: {
    inputs: 32,
    bytes: 24,
    halves: [0, 2],
    value: (b, j) => f16(b, 0) * (halved(b, 8, 16, j) + 16 * bit(b, 4, j)) + f16(b, 2),
  },
  q8_0: { inputs: 32, bytes: 34, halves: [0], value: (b, j) => f16(b, 0) * i8(b, 2 + j) },
  q4_k: {
    inputs: 256,
    bytes: 144,
    halves: [0, 2],
    value: (b, j) => {
      const { sc, mn } = sixBits(b.subarray(4), j >> 5)
      return f16(b, 0) * sc * halved(b, 16 + 32 * (j >> 6), 32, j & 63) - f16(b, 2) * mn
    },
  },
  q5_k: {
    inputs: 256,
    bytes: 176,
    halves: [0, 2],
    value: (b, j) => {
      const { sc, mn } = sixBits(b.subarray(4), j >> 5)
      const code = halved(b, 48 + 32 * (j >> 6), 32, j & 63) + 16 * bit(b, 16 + (j & 31), j >> 5)
      return f16(b, 0) * sc * code - f16(b, 2) * mn
    },
  },
  q6_k: {
    inputs: 256,
    bytes: 210,
    halves: [208],
    value: (b, j) => {
      const h = j >> 7
      const k = (j >> 5) & 3
      const l = j & 31
      const pair = u8(b, 64 * h + 32 * (k & 1) + l)
      const low = k >= 2 ? pair >> 4 : pair & 15
      const high = (u8(b, 128 + 32 * h + l) >> (2 * k)) & 3
      return f16(b, 208) * i8(b, 192 + (j >> 4)) * (low + 16 * high - 32)
    },
  },
}

/** Nibble i of a word of AWQ is output 8c + AWQ_ORDER[i]. */
const AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]

/** Weight (row, k) of `rows` rows of `inputs` inputs in a file, before it is rounded to f32. */
export function fileWeight(
  encoding: Encoding,
  data: readonly Uint8Array[],
  [rows, inputs]: readonly [number, number],
  row: number,
  k: number,
): number {
  const [first, second, third] = data as [Bytes, Bytes, Bytes]
  const index = row * inputs + k
  switch (encoding.kind) {
    case 'plain': {
      if (encoding.dtype !== 'f32') return halfValue(u16(first, 2 * index), encoding.dtype)
      return new DataView(first.buffer, first.byteOffset).getFloat32(4 * index, true)
    }
    case 'ggml': {
      const block = BLOCKS[encoding.type]
      const at = Math.floor(index / block.inputs) * block.bytes
      return block.value(first.subarray(at, at + block.bytes), index % block.inputs)
    }
    case 'mlx': {
      const code = encoding.bits === 4 ? nibble(first, 0, index) : u8(first, index)
      const group = Math.floor(index / encoding.group)
      const scale = halfValue(u16(second, 2 * group), encoding.halves)
      return scale * code + halfValue(u16(third, 2 * group), encoding.halves)
    }
    case 'gptq':
    case 'awq': {
      const group = Math.floor(k / encoding.group)
      const column = row & ~7
      const order = encoding.kind === 'awq' ? AWQ_ORDER.indexOf(row & 7) : row & 7
      const zero = nibble(second, 0, group * rows + column + order)
      const added = encoding.kind === 'gptq' && encoding.zeros === 'less one' ? 1 : 0
      const code =
        encoding.kind === 'awq'
          ? nibble(first, 0, k * rows + column + order)
          : nibble(first, 0, (Math.floor(k / 8) * rows + row) * 8 + (k & 7))
      return f16(third, 2 * (group * rows + row)) * (code - zero - added)
    }
  }
}

/** Weight (row, k) of quantised rows of the engine, before it is rounded to f32: code · s + m. */
export function rowsWeight(rows: WeightRows, format: QuantisedFormat, row: number, k: number): number {
  const { inputs } = rows
  const index = row * inputs + k
  const code = format.codes === 'u4' ? nibble(rows.codes, 0, index) : u8(rows.codes, index)
  const groups = inputs / format.group
  const group = Math.floor(k / format.group)
  const words = new Uint8Array(rows.scales.buffer, rows.scales.byteOffset, rows.scales.byteLength)
  const { scales } = format
  switch (scales.kind) {
    case 'half': {
      const s = f16(words, row * Math.ceil(groups / 2) * 4 + 2 * group)
      return code * s - scales.zero * s
    }
    case 'offset': {
      const at = 4 * (row * groups + group)
      return code * halfValue(u16(words, at), scales.halves) + halfValue(u16(words, at + 2), scales.halves)
    }
    case 'zeroPoint': {
      const at = 4 * (row * groups + group)
      return code * f16(words, at) - f16(words, at + 2) * f16(words, at)
    }
    case 'super': {
      const block = 20 * (row * (inputs / 256) + Math.floor(k / 256))
      const d = f16(words, block)
      if (format.group === 16) return d * i8(words, block + 4 + (group % 16)) * (code - 32)
      const at = block + 4 + 2 * (group % 8)
      return d * u8(words, at) * code - f16(words, block + 2) * u8(words, at + 1)
    }
  }
}
