/**
 * Sums of weighted values. A lane is an element of the head, so each is one sum over the keys in ascending order, whichever
 * function computes it and wherever the sum was stored and taken up again: every function adds to what is in `sums`. Keys that a
 * row does not attend to are not read: their values may be NaN, which a weight of 0 would not remove.
 *
 * weights: [4][keys] f32, `stride` bytes apart. pool: [block][kvHead][16][headDim] f32. sums: [4][headDim] f32.
 */

import { BLOCK_SIZE, blockAddress, headBytes } from './shape'

/** Bytes of a head that `sumValues4` covers at once, and `sumValues2`. */
const COLUMNS_4: usize = 32
const COLUMNS_2: usize = 64

/**
 * Adds keys from…to - 1 for four queries, over the columns of a head that fill whole steps.
 * @returns the bytes of a head that it covered
 */
export function sumValues4(
  weights: usize,
  stride: usize,
  pool: usize,
  table: usize,
  kvHead: i32,
  from: usize,
  to: usize,
  sums: usize,
): usize {
  const covered = headBytes & ~(COLUMNS_4 - 1)
  const bytes = headBytes
  for (let column: usize = 0; column < covered; column += COLUMNS_4) {
    let sum = sums + column
    let a0 = v128.load(sum)
    let a1 = v128.load(sum, 16)
    sum += bytes
    let b0 = v128.load(sum)
    let b1 = v128.load(sum, 16)
    sum += bytes
    let c0 = v128.load(sum)
    let c1 = v128.load(sum, 16)
    sum += bytes
    let d0 = v128.load(sum)
    let d1 = v128.load(sum, 16)
    let key = from
    while (key < to) {
      const offset = key % BLOCK_SIZE
      const count = min(BLOCK_SIZE - offset, to - key)
      let v = blockAddress(pool, table, key, kvHead) + offset * bytes + column
      let a = weights + (key << 2)
      let b = a + stride
      let c = b + stride
      let d = c + stride
      const end = a + (count << 2)
      while (a < end) {
        const v0 = v128.load(v)
        const v1 = v128.load(v, 16)
        v += bytes
        let weight = v128.load32_splat(a)
        a0 = f32x4.add(a0, f32x4.mul(weight, v0))
        a1 = f32x4.add(a1, f32x4.mul(weight, v1))
        weight = v128.load32_splat(b)
        b0 = f32x4.add(b0, f32x4.mul(weight, v0))
        b1 = f32x4.add(b1, f32x4.mul(weight, v1))
        weight = v128.load32_splat(c)
        c0 = f32x4.add(c0, f32x4.mul(weight, v0))
        c1 = f32x4.add(c1, f32x4.mul(weight, v1))
        weight = v128.load32_splat(d)
        d0 = f32x4.add(d0, f32x4.mul(weight, v0))
        d1 = f32x4.add(d1, f32x4.mul(weight, v1))
        a += 4
        b += 4
        c += 4
        d += 4
      }
      key += count
    }
    sum = sums + column
    v128.store(sum, a0)
    v128.store(sum, a1, 16)
    sum += bytes
    v128.store(sum, b0)
    v128.store(sum, b1, 16)
    sum += bytes
    v128.store(sum, c0)
    v128.store(sum, c1, 16)
    sum += bytes
    v128.store(sum, d0)
    v128.store(sum, d1, 16)
  }
  return covered
}

/** As `sumValues4`, for the first two of the four queries. */
export function sumValues2(
  weights: usize,
  stride: usize,
  pool: usize,
  table: usize,
  kvHead: i32,
  from: usize,
  to: usize,
  sums: usize,
): usize {
  const covered = headBytes & ~(COLUMNS_2 - 1)
  const bytes = headBytes
  for (let column: usize = 0; column < covered; column += COLUMNS_2) {
    let sum = sums + column
    let a0 = v128.load(sum)
    let a1 = v128.load(sum, 16)
    let a2 = v128.load(sum, 32)
    let a3 = v128.load(sum, 48)
    sum += bytes
    let b0 = v128.load(sum)
    let b1 = v128.load(sum, 16)
    let b2 = v128.load(sum, 32)
    let b3 = v128.load(sum, 48)
    let key = from
    while (key < to) {
      const offset = key % BLOCK_SIZE
      const count = min(BLOCK_SIZE - offset, to - key)
      let v = blockAddress(pool, table, key, kvHead) + offset * bytes + column
      let a = weights + (key << 2)
      let b = a + stride
      const end = a + (count << 2)
      while (a < end) {
        const v0 = v128.load(v)
        const v1 = v128.load(v, 16)
        const v2 = v128.load(v, 32)
        const v3 = v128.load(v, 48)
        v += bytes
        let weight = v128.load32_splat(a)
        a0 = f32x4.add(a0, f32x4.mul(weight, v0))
        a1 = f32x4.add(a1, f32x4.mul(weight, v1))
        a2 = f32x4.add(a2, f32x4.mul(weight, v2))
        a3 = f32x4.add(a3, f32x4.mul(weight, v3))
        weight = v128.load32_splat(b)
        b0 = f32x4.add(b0, f32x4.mul(weight, v0))
        b1 = f32x4.add(b1, f32x4.mul(weight, v1))
        b2 = f32x4.add(b2, f32x4.mul(weight, v2))
        b3 = f32x4.add(b3, f32x4.mul(weight, v3))
        a += 4
        b += 4
      }
      key += count
    }
    sum = sums + column
    v128.store(sum, a0)
    v128.store(sum, a1, 16)
    v128.store(sum, a2, 32)
    v128.store(sum, a3, 48)
    sum += bytes
    v128.store(sum, b0)
    v128.store(sum, b1, 16)
    v128.store(sum, b2, 32)
    v128.store(sum, b3, 48)
  }
  return covered
}

/**
 * Adds keys from…to - 1 for one query, over the columns from byte `column` of a head on.
 * @param weights [keys] f32
 * @param sums [headDim] f32
 */
export function addValues(
  weights: usize,
  pool: usize,
  table: usize,
  kvHead: i32,
  from: usize,
  to: usize,
  sums: usize,
  column: usize,
): void {
  for (let key = from; key < to; key++) {
    const value = blockAddress(pool, table, key, kvHead) + (key % BLOCK_SIZE) * headBytes
    const weight = v128.load32_splat(weights + (key << 2))
    for (let i = column; i < headBytes; i += 16) {
      v128.store(sums + i, f32x4.add(v128.load(sums + i), f32x4.mul(weight, v128.load(value + i))))
    }
  }
}
