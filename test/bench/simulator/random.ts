/** Seeded randomness: streams of numbers, and a hash for numbers that depend on a position. No clock, no global state. */

/** A 32-bit hash of integers, which depends on their order. After MurmurHash3 (Appleby, public domain). */
export function hash(...values: readonly number[]): number {
  let h = 0x9e3779b9
  for (const value of values) {
    h = Math.imul(h ^ value, 0x85ebca6b)
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
    h ^= h >>> 16
  }
  return h >>> 0
}

/** sfc32 (Doty-Humphrey, PractRand, public domain). Each purpose has its own stream, so that it does not shift the numbers of others. */
export class Random {
  #a: number
  #b: number
  #c: number
  #counter = 1

  constructor(seed: number, stream: number) {
    this.#a = hash(seed, stream, 1)
    this.#b = hash(seed, stream, 2)
    this.#c = hash(seed, stream, 3)
    for (let i = 0; i < 12; i++) this.#bits()
  }

  /** in [0, 1) */
  fraction(): number {
    return this.#bits() / 2 ** 32
  }

  /** 0…bound-1 */
  integer(bound: number): number {
    return Math.floor(this.fraction() * bound)
  }

  /** mean 0, standard deviation 1 */
  normal(): number {
    const radius = Math.sqrt(2 * this.exponential())
    return radius * Math.cos(2 * Math.PI * this.fraction())
  }

  /** mean 1 */
  exponential(): number {
    return -Math.log(1 - this.fraction())
  }

  #bits(): number {
    const result = (this.#a + this.#b + this.#counter++) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + result) | 0
    return result >>> 0
  }
}
