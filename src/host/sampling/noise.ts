/**
 * The noise of Gumbel-max sampling, the same numbers as on the GPU (shaders/lib/noise.wgsl): a function of the request's seed and
 * sample index, the position and the token alone, never of the step. pcg4d: Jarzynski and Olano, "Hash Functions for GPU
 * Rendering", Journal of Computer Graphics Techniques 9(3), 2020.
 */

import type { RowSampling } from './rowSampling.ts'

/** Above the noise of any token: the largest is -log of an exponential variate of 2^-33, 22.88. */
export const MOST_NOISE = 22.9

/** The random bits of a row's tokens. */
export class RowNoise {
  #x = 0
  #y = 0
  #z = 0
  #w = 0

  /** Begins a row. @param position absolute position of the token to sample */
  start({ seed, sampleIndex }: Pick<RowSampling, 'seed' | 'sampleIndex'>, position: number): void {
    const [x, y, z, w] = pcg4d(seed | 0, Math.floor(seed / 2 ** 32) | 0, sampleIndex, position)
    this.#x = congruential(x)
    this.#y = congruential(y)
    this.#z = congruential(z)
    this.#w = w
  }

  /** The 32 bits of a token: the last word of pcg4d of (x, y, z, w ^ token). Allocates nothing; the whole vocabulary may ask. */
  bits(token: number): number {
    let w = congruential(this.#w ^ token)
    let x = (this.#x + Math.imul(this.#y, w)) | 0
    let y = (this.#y + Math.imul(this.#z, x)) | 0
    let z = (this.#z + Math.imul(x, y)) | 0
    w = (w + Math.imul(y, z)) | 0
    x ^= x >>> 16
    y ^= y >>> 16
    z ^= z >>> 16
    w ^= w >>> 16
    x = (x + Math.imul(y, w)) | 0
    y = (y + Math.imul(z, x)) | 0
    z = (z + Math.imul(x, y)) | 0
    return (w + Math.imul(y, z)) >>> 0
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

function congruential(word: number): number {
  return (Math.imul(word, 1664525) + 1013904223) | 0
}

function pcg4d(...words: [number, number, number, number]): [number, number, number, number] {
  let [x, y, z, w] = words.map(congruential) as typeof words
  const mix = () => {
    x = (x + Math.imul(y, w)) | 0
    y = (y + Math.imul(z, x)) | 0
    z = (z + Math.imul(x, y)) | 0
    w = (w + Math.imul(y, z)) | 0
  }
  mix()
  x ^= x >>> 16
  y ^= y >>> 16
  z ^= z >>> 16
  w ^= w >>> 16
  mix()
  return [x, y, z, w]
}
