/** Random weight matrices of every stored type, with the exact values that a kernel must see. */

import { packedWeight, packWeight, type WeightDtype, weightBytes } from '../../src/kernels/weights.ts'
import { seededRandom } from './kernelHarness.ts'

export interface RandomWeight {
  /** as a checkpoint stores it: [n][k] in little-endian values of the type */
  readonly bytes: Uint8Array
  /** as a kernel reads it: words of [k/4][n] */
  readonly words: Uint32Array
  /** [n][k] */
  readonly values: Float32Array
}

/** A matrix [n][k] of seeded values of both signs, some zero, about 1/√k large. */
export function randomWeight(dtype: WeightDtype, seed: number, n: number, k: number): RandomWeight {
  const random = seededRandom(seed)
  const bytes = new Uint8Array(weightBytes(dtype, n, k))
  const view = new DataView(bytes.buffer)
  const values = Float32Array.from({ length: n * k }, (_, i) => {
    const value = random() < 0.02 ? 0 : ((2 * random() - 1) * 2) / Math.sqrt(k)
    if (dtype === 'f32') {
      view.setFloat32(4 * i, value, true)
      return value
    }
    const bits = dtype === 'bf16' ? toBf16(value) : toF16(value)
    view.setUint16(2 * i, bits, true)
    return dtype === 'bf16' ? fromBf16(bits) : fromF16(bits)
  })
  const packed = packedWeight(dtype, n, k)
  packWeight(packed, bytes)
  return { bytes, words: packed.words, values }
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
