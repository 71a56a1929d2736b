/** Random weight matrices of every format, with the exact values that a kernel must see. */

import { storedBytes, TILE_COLUMNS, tileBytes, WeightTile } from '../../src/kernels/weights.ts'
import { encodeF16 } from '../../src/weights/encodeF16.ts'
import {
  codeBytes,
  isQuantised,
  type PlainFormat,
  type QuantisedFormat,
  SUPER_GROUP,
  scaleWords,
  type WeightFormat,
  type WeightRows,
} from '../../src/weights/format.ts'
import { seededRandom } from './kernelHarness.ts'
import { halfValue } from './weightReference.ts'

export interface RandomWeight {
  /** the matrix [n][k] as the engine holds its rows */
  readonly rows: WeightRows
  /** as a kernel reads it: tiles of codes, and of scales; at least one word each */
  readonly codes: Uint32Array
  readonly scales: Uint32Array
  /** [n][k] */
  readonly values: Float32Array
}

export type RandomMatrix = Pick<RandomWeight, 'rows' | 'values'>

/** A matrix [n][k] of seeded values of both signs, some zero, about 1/√k large. */
export function randomWeight(format: WeightFormat, seed: number, n: number, k: number): RandomWeight {
  const { rows, values } = randomMatrix(format, seed, n, k)
  return { rows, values, ...storedMatrix(rows) }
}

/** As `randomWeight` without what a kernel reads, and so of any size. */
export function randomMatrix(format: WeightFormat, seed: number, n: number, k: number): RandomMatrix {
  const random = seededRandom(seed)
  return isQuantised(format) ? quantised(format, random, n, k) : plain(format, random, n, k)
}

/** Rows in the layout of the kernels. */
export function storedMatrix(rows: WeightRows): { readonly codes: Uint32Array; readonly scales: Uint32Array } {
  const { format, inputs, count } = rows
  const bytes = storedBytes(format, inputs, count)
  const tileSize = tileBytes(format, inputs)
  const [codes, scales] = [new Uint32Array(bytes.codes / 4), new Uint32Array(Math.max(bytes.scales / 4, 1))]
  const tile = new WeightTile(format, inputs)
  const [rowCodes, rowScales] = [codeBytes(format, inputs), scaleWords(format, inputs)]
  const words = new Uint32Array(rows.codes.slice().buffer)
  for (let first = 0; first < count; first += TILE_COLUMNS) {
    tile.clear()
    for (let column = 0; column < Math.min(TILE_COLUMNS, count - first); column++) {
      const row = first + column
      tile.setColumn(
        column,
        words.subarray((row * rowCodes) / 4, ((row + 1) * rowCodes) / 4),
        rows.scales.subarray(row * rowScales, (row + 1) * rowScales),
      )
    }
    codes.set(tile.codes, ((first / TILE_COLUMNS) * tileSize.codes) / 4)
    scales.set(tile.scales, ((first / TILE_COLUMNS) * tileSize.scales) / 4)
  }
  return { codes, scales }
}

/** Rows [n][k] of f32 values. */
export function plainRows(values: Float32Array, n: number, k: number): WeightRows {
  const codes = new Uint8Array(values.slice().buffer)
  return { format: { codes: 'f32' }, inputs: k, count: n, codes, scales: new Uint32Array(0) }
}

type Random = () => number

function plain(format: PlainFormat, random: Random, n: number, k: number): RandomMatrix {
  const codes = new Uint8Array(n * codeBytes(format, k))
  const view = new DataView(codes.buffer)
  const values = Float32Array.from({ length: n * k }, (_, i) => {
    const value = random() < 0.02 ? 0 : ((2 * random() - 1) * 2) / Math.sqrt(k)
    if (format.codes === 'f32') {
      view.setFloat32(4 * i, value, true)
      return value
    }
    const bits = format.codes === 'bf16' ? toBf16(value) : toF16(value)
    view.setUint16(2 * i, bits, true)
    return format.codes === 'bf16' ? fromBf16(bits) : fromF16(bits)
  })
  return { rows: { format, inputs: k, count: n, codes, scales: new Uint32Array(0) }, values }
}

/** Random codes and scales, and w = code · s + m by the definition of the format, in float64, rounded once. */
function quantised(format: QuantisedFormat, random: Random, n: number, k: number): RandomMatrix {
  const bits = format.codes === 'u4' ? 4 : 8
  // As in files, which have at most 6 bits in codes with scales in two stages: only so is code · s exact.
  const bytes = bits === 8 && format.scales.kind === 'super' ? 64 : 256
  const codes = Uint8Array.from({ length: (n * k * bits) / 8 }, () => Math.floor(random() * bytes))
  const scales = new Uint32Array(n * scaleWords(format, k))
  const values = new Float32Array(n * k)
  const size = 1 / Math.sqrt(k) / 2 ** (bits - 2)
  for (let row = 0; row < n; row++) {
    const scaleOf = writeScales(format, random, size, scales.subarray((row * scales.length) / n), k)
    for (let i = 0; i < k; i++) {
      const at = row * k + i
      const byte = codes[Math.floor((at * bits) / 8)] ?? 0
      const code = bits === 8 ? byte : at % 2 === 0 ? byte & 15 : byte >> 4
      const { s, m } = scaleOf(Math.floor(i / format.group))
      values[at] = code * s + m
    }
  }
  return { rows: { format, inputs: k, count: n, codes, scales }, values }
}

interface Scale {
  readonly s: number
  readonly m: number
}

/** Writes the scales of one row of k inputs to the front of `out`. @returns s and m of each group */
function writeScales(
  { group, scales, codes }: QuantisedFormat,
  random: Random,
  size: number,
  out: Uint32Array,
  k: number,
): (group: number) => Scale {
  const groups = k / group
  const signed = () => (2 * random() - 1) * size
  const made: Scale[] = []
  const kind = scales.kind === 'offset' ? scales.halves : 'f16'
  const encode = kind === 'bf16' ? toBf16 : encodeF16
  const decode = (bits: number) => halfValue(bits, kind)
  if (scales.kind === 'super') {
    for (let first = 0; first < k / SUPER_GROUP; first++) {
      // Most are subnormal, as in files: factors of bytes are small.
      const [d, dmin] = [encodeF16(signed() / 40), encodeF16(signed() / 4)]
      const bytes = Uint8Array.from({ length: 16 }, () => Math.floor(random() * (group === 16 ? 256 : 64)))
      out[5 * first] = d | (dmin << 16)
      out.set(new Uint32Array(bytes.buffer), 5 * first + 1)
      for (let i = 0; i < SUPER_GROUP / group; i++) {
        const signedByte = ((bytes[i] ?? 0) << 24) >> 24
        const [s, m] =
          group === 16
            ? [decode(d) * signedByte, -32 * decode(d) * signedByte]
            : [decode(d) * (bytes[2 * i] ?? 0), -decode(dmin) * (bytes[2 * i + 1] ?? 0)]
        made.push({ s, m })
      }
    }
  } else {
    for (let i = 0; i < groups; i++) {
      const s = encode(signed())
      if (scales.kind === 'half') {
        out[i >> 1] = i % 2 === 0 ? s : (out[i >> 1] ?? 0) | (s << 16)
        made.push({ s: decode(s), m: -scales.zero * decode(s) })
      } else {
        const most = codes === 'u4' ? 16 : 256
        const second = encode(scales.kind === 'zeroPoint' ? Math.floor(random() * (most + 1)) : signed() * most)
        out[i] = s | (second << 16)
        const m = scales.kind === 'zeroPoint' ? -decode(second) * decode(s) : decode(second)
        made.push({ s: decode(s), m })
      }
    }
  }
  return (index) => made[index] ?? { s: Number.NaN, m: Number.NaN }
}

const scratch = new DataView(new ArrayBuffer(4))

function toBf16(value: number): number {
  scratch.setFloat32(0, value)
  return scratch.getUint16(0)
}

function fromBf16(bits: number): number {
  scratch.setUint32(0, bits << 16)
  return scratch.getFloat32(0)
}

/** Cuts towards zero; what is too small for a normal float16 becomes 0. */
function toF16(value: number): number {
  scratch.setFloat32(0, value)
  const bits = scratch.getUint32(0)
  const exponent = ((bits >>> 23) & 0xff) - 127 + 15
  const sign = (bits >>> 16) & 0x8000
  return exponent < 1 ? sign : sign | (exponent << 10) | ((bits >>> 13) & 0x3ff)
}

function fromF16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >>> 10) & 0x1f
  return exponent === 0 ? sign * 0 : sign * 2 ** (exponent - 15) * (1 + (bits & 0x3ff) / 1024)
}
