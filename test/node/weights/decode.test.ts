/** Every half of both formats against plain arithmetic, and where values lie. */

import { describe, expect, it } from 'vitest'
import { decodeWeights, WEIGHT_BYTES, type WeightDtype } from '../../../src/weights/decode.ts'
import { halfValue } from '../../helpers/weightReference.ts'

const HALVES = 65_536

function allHalves(dtype: WeightDtype): Float32Array {
  const halves = Uint16Array.from({ length: HALVES }, (_, i) => i)
  const out = new Float32Array(HALVES).fill(Number.NaN)
  decodeWeights(new Uint8Array(halves.buffer), dtype, out)
  return out
}

describe('decoding', () => {
  it.each(['bf16', 'f16'] as const)('%s is exact for every one of the 65,536 patterns', (dtype) => {
    const wrong: number[] = []
    for (const [bits, value] of allHalves(dtype).entries()) {
      if (!Object.is(value, halfValue(bits, dtype))) wrong.push(bits)
    }
    expect(wrong).toEqual([])
  })

  it('f32 keeps every value', () => {
    const values = Float32Array.of(0, -0, 1.5, -3e38, 1e-45, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY)
    const out = new Float32Array(values.length).fill(7)
    decodeWeights(new Uint8Array(values.buffer), 'f32', out)
    expect([...out]).toEqual([...values])
    expect(Object.is(out[1], -0)).toBe(true)
  })

  it.each(['bf16', 'f16', 'f32'] as const)(
    '%s of bytes at any offset fills its place and nothing beside it',
    (dtype) => {
      const size = WEIGHT_BYTES[dtype]
      const values = new Uint8Array(3 * size).map((_, i) => 17 * i + 60)
      const plain = new Float32Array(3)
      decodeWeights(values, dtype, plain)
      for (let offset = 0; offset < 5; offset++) {
        const bytes = new Uint8Array(offset + values.length + 2).fill(255)
        bytes.set(values, offset)
        const out = new Float32Array(7).fill(-1)
        decodeWeights(bytes.subarray(offset, offset + values.length), dtype, out, 2)
        expect([...out]).toEqual([-1, -1, ...plain, -1, -1])
      }
    },
  )

  it.each(['bf16', 'f16', 'f32'] as const)('%s that does not fit is refused before anything is cut off', (dtype) => {
    const out = new Float32Array(3).fill(-1)
    expect(() => decodeWeights(new Uint8Array(2 * WEIGHT_BYTES[dtype]), dtype, out, 2)).toThrow(RangeError)
    expect([...out]).toEqual([-1, -1, -1])
  })
})
