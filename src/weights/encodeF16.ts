/** A number as f16. It must never know what the number means. */

/** The smallest magnitude that is rounded to infinity. */
const OVERFLOW = 65_520
/** A sum with it has no bits below 1, so a number from 0 to 2⁵¹ is rounded to an integer, ties to even. */
const INTEGERS = 2 ** 52

const value = new Float32Array(1)
const word = new Uint32Array(value.buffer)

/** The nearest f16, ties to even; a NaN becomes the quiet one. `number` may have all digits of an f64. */
export function encodeF16(number: number): number {
  if (Number.isNaN(number)) return 0x7e00
  const sign = number < 0 || Object.is(number, -0) ? 0x8000 : 0
  const magnitude = Math.abs(number)
  if (magnitude >= OVERFLOW) return sign | 0x7c00
  // Where f32 rounds up to the next power of two, so does f16, and both exponents give the same result.
  value[0] = magnitude
  const exponent = Math.max(((word[0] as number) >>> 23) - 127, -14)
  // In units of the last place: 1024 to 2048, less if subnormal. A 2048 carries into the exponent.
  const units = magnitude * 2 ** (10 - exponent) + INTEGERS - INTEGERS
  return sign | (((exponent + 14) << 10) + units)
}
