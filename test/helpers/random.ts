/** Seeded random data of tests. */

/** A seeded generator of numbers in [0, 1): mulberry32. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** `length` seeded values, uniform in (-scale, scale). */
export function randomFloats(seed: number, length: number, scale = 1): Float32Array {
  const random = seededRandom(seed)
  return Float32Array.from({ length }, () => (2 * random() - 1) * scale)
}

/** `length` seeded integers in 0…limit-1. */
export function randomInts(seed: number, length: number, limit: number): Uint32Array {
  const random = seededRandom(seed)
  return Uint32Array.from({ length }, () => Math.floor(random() * limit))
}

/** The values in a seeded order. */
export function shuffled<T>(values: readonly T[], seed: number): T[] {
  const random = seededRandom(seed)
  const keyed = values.map((value) => ({ value, key: random() }))
  return keyed.sort((a, b) => a.key - b.key).map(({ value }) => value)
}
