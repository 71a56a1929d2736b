/** Bytes that random tensors are filled with, about a megabyte each: weights of sensible size in every form. */

import { seededRandom } from '../../helpers/random.ts'

const LENGTH = 1 << 20

export type GgmlName = 'f32' | 'q4_k' | 'q6_k'

/** ggml's number of a type, and the values and bytes of a block. */
export const GGML_TYPES: Readonly<
  Record<GgmlName, { readonly id: number; readonly values: number; readonly bytes: number }>
> = {
  f32: { id: 0, values: 1, bytes: 4 },
  q4_k: { id: 12, values: 256, bytes: 144 },
  q6_k: { id: 14, values: 256, bytes: 210 },
}

/** bfloat16 values of magnitude 0.004 to 0.03; as codes, anything. */
export function plainPattern(): Uint8Array {
  const random = seededRandom(1)
  const values = Uint16Array.from({ length: LENGTH / 2 }, () => {
    const sign = random() < 0.5 ? 0 : 0x8000
    return sign | 0x3b80 | Math.floor(random() * 0x180)
  })
  return new Uint8Array(values.buffer)
}

/** bfloat16 scales of MLX: small, of either sign. */
export function scalePattern(): Uint8Array {
  const random = seededRandom(2)
  const values = Uint16Array.from({ length: LENGTH / 2 }, () => {
    const sign = random() < 0.5 ? 0 : 0x8000
    return sign | 0x3a80 | Math.floor(random() * 0x100)
  })
  return new Uint8Array(values.buffer)
}

/** Whole blocks with random codes and small f16 factors; f32: ones. */
export function blockPattern(type: GgmlName): Uint8Array {
  if (type === 'f32') return new Uint8Array(new Float32Array(LENGTH / 4).fill(1).buffer)
  const random = seededRandom(3)
  const { bytes } = GGML_TYPES[type]
  const blocks = Math.floor(LENGTH / bytes)
  const pattern = Uint8Array.from({ length: blocks * bytes }, () => Math.floor(random() * 256))
  const view = new DataView(pattern.buffer)
  for (let block = 0; block < blocks; block++) {
    const factor = 0x0600 + Math.floor(random() * 0x100) // f16, about 1e-4
    if (type === 'q6_k') view.setUint16(block * bytes + 208, 0x0100, true)
    else {
      view.setUint16(block * bytes, factor, true)
      view.setUint16(block * bytes + 2, factor, true)
    }
  }
  return pattern
}
