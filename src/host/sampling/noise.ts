/**
 * The noise of Gumbel-max sampling, the same numbers as on the GPU (shaders/lib/noise.wgsl): a function of the request's seed and
 * sample index, the position and the token alone, never of the step. pcg4d: Jarzynski and Olano, "Hash Functions for GPU
 * Rendering", Journal of Computer Graphics Techniques 9(3), 2020.
 */

import type { RowSampling } from './rowSampling.ts'

/** Above the noise of any token: the largest is -log of an exponential variate of 2^-33, 22.88. */
export const MOST_NOISE = 22.9

export class RowNoise {
  /** pcg4d of (seed low, seed high, sample index, position) */
  readonly #key = new Int32Array(4)
  readonly #words = new Int32Array(4)

  /** Begins a row. @param position absolute position of the token to sample */
  start({ seed, sampleIndex }: Pick<RowSampling, 'seed' | 'sampleIndex'>, position: number): void {
    pcg4d(this.#key, seed | 0, Math.floor(seed / 2 ** 32) | 0, sampleIndex, position)
  }

  /** The 32 random bits of a token in the row. */
  bits(token: number): number {
    const key = this.#key
    pcg4d(this.#words, key[0] as number, key[1] as number, key[2] as number, (key[3] as number) ^ token)
    return (this.#words[3] as number) >>> 0
  }
}

/**
 * The noise that 32 random bits stand for, rounded to f32 where the GPU's variate is: -log E of a standard exponential variate E.
 * The token with the largest logit / T + gumbel is a sample from softmax(logit / T).
 */
export function gumbel(bits: number): number {
  const v = Math.min(Math.fround(Math.fround(bits) + 0.5) * 2 ** -32, 1 - 2 ** -24)
  return -Math.log(-Math.log1p(-v))
}

function pcg4d(out: Int32Array, a: number, b: number, c: number, d: number): void {
  let x = (Math.imul(a, 1664525) + 1013904223) | 0
  let y = (Math.imul(b, 1664525) + 1013904223) | 0
  let z = (Math.imul(c, 1664525) + 1013904223) | 0
  let w = (Math.imul(d, 1664525) + 1013904223) | 0
  x = (x + Math.imul(y, w)) | 0
  y = (y + Math.imul(z, x)) | 0
  z = (z + Math.imul(x, y)) | 0
  w = (w + Math.imul(y, z)) | 0
  x ^= x >>> 16
  y ^= y >>> 16
  z ^= z >>> 16
  w ^= w >>> 16
  x = (x + Math.imul(y, w)) | 0
  y = (y + Math.imul(z, x)) | 0
  z = (z + Math.imul(x, y)) | 0
  w = (w + Math.imul(y, z)) | 0
  out[0] = x
  out[1] = y
  out[2] = z
  out[3] = w
}
