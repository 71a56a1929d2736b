/**
 * The number formats of a checkpoint's weights, decoded to f32. Bytes are little-endian, as every browser's typed arrays are. It
 * must never know what a tensor is used for.
 */

import type { PlainFormat } from './format.ts'

export type WeightDtype = PlainFormat['codes']

/** Bytes of one value. */
export const WEIGHT_BYTES: Readonly<Record<WeightDtype, number>> = { bf16: 2, f16: 2, f32: 4 }

/**
 * Decodes all of `bytes` into `out[first…]`; `bytes` may begin at any offset of its buffer. Every value is exact: subnormals,
 * infinities and signed zeros too, and a NaN stays one.
 * @param bytes a whole number of values, which `out` has room for
 */
export function decodeWeights(bytes: Uint8Array, dtype: WeightDtype, out: Float32Array, first = 0): void {
  const size = WEIGHT_BYTES[dtype]
  const aligned = bytes.byteOffset % size === 0 ? bytes : bytes.slice()
  const count = aligned.byteLength / size
  if (dtype === 'f32') {
    out.set(new Float32Array(aligned.buffer, aligned.byteOffset, count), first)
    return
  }
  const halves = new Uint16Array(aligned.buffer, aligned.byteOffset, count)
  const target = out.subarray(first, first + count)
  if (target.length !== count) throw new RangeError(`${count} values do not fit at ${first} of ${out.length}`)
  if (dtype === 'bf16') decodeBf16Values(halves, target)
  else decodeF16Values(halves, target)
}

/** The upper half of an f32. */
function decodeBf16Values(halves: Uint16Array, out: Float32Array): void {
  const words = new Uint32Array(out.buffer, out.byteOffset, out.length)
  for (let i = 0; i < halves.length; i++) words[i] = (halves[i] as number) << 16
}

/**
 * IEEE 754 binary16. Its exponent and mantissa at the places of an f32's are the value times 2⁻¹¹², subnormals included; only
 * infinities and NaN have another exponent.
 */
function decodeF16Values(halves: Uint16Array, out: Float32Array): void {
  const words = new Uint32Array(out.buffer, out.byteOffset, out.length)
  for (let i = 0; i < halves.length; i++) {
    const half = halves[i] as number
    const magnitude = (half & 0x7fff) << 13
    const sign = (half & 0x8000) << 16
    if (magnitude >= 0x7c00 << 13) {
      words[i] = sign | 0x7f800000 | magnitude
      continue
    }
    words[i] = sign | magnitude
    out[i] = (out[i] as number) * 2 ** 112
  }
}

const word = new Uint32Array(1)
const value = new Float32Array(word.buffer)

/** The value of the bits of an f32. */
export function decodeF32(bits: number): number {
  word[0] = bits
  return value[0] as number
}

/** The value of one bf16, exact. */
export function decodeBf16(half: number): number {
  return decodeF32(half << 16)
}

/** The value of one f16, exact; see `decodeF16Values`. */
export function decodeF16(half: number): number {
  const magnitude = (half & 0x7fff) << 13
  const sign = (half & 0x8000) << 16
  if (magnitude >= 0x7c00 << 13) return decodeF32(sign | 0x7f800000 | magnitude)
  return decodeF32(sign | magnitude) * 2 ** 112
}
