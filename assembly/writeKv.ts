/** QK-norm, RoPE and the write of K and V to the cache. */

import { sumLanes } from './lanes'
import { BLOCK_SIZE, epsilon, headBytes, KEY_BYTES, kvHeads, queryHeads, rowBytes } from './shape'

/**
 * Normalises and rotates the heads of each row in place, and stores K and V of the rows that have a slot.
 *
 * @param qkv [rows][query heads, key heads, value heads][headDim] f32
 * @param positions [rows] i32
 * @param slots [rows] i32: block · 16 + offset, or negative: K and V are not stored
 * @param queries 0: query heads are left as they are
 * @param rope [position][rotated bytes / 8][2] f32: cosine, sine; of no use without rotated bytes
 * @param rotated bytes of a head, its first ones, that are rotated, a multiple of 8
 * @param queryNorm [headDim] f32 weights of QK-norm, or 0: no norm
 * @param keyNorm the same of keys
 * @param keyPool [block][kvHead][headDim][16] f32
 * @param valuePool [block][kvHead][16][headDim] f32
 */
export function writeKv(
  qkv: usize,
  rows: i32,
  positions: usize,
  slots: usize,
  queries: i32,
  rope: usize,
  rotated: usize,
  queryNorm: usize,
  keyNorm: usize,
  keyPool: usize,
  valuePool: usize,
): void {
  for (let i = 0; i < rows; i++) {
    const row = qkv + (i as usize) * rowBytes
    const angles = rope + (load<i32>(positions + ((i as usize) << 2)) as usize) * rotated
    const slot = load<i32>(slots + ((i as usize) << 2))
    const keys = row + (queryHeads as usize) * headBytes
    const values = keys + (kvHeads as usize) * headBytes
    if (queries) for (let head = row; head < keys; head += headBytes) prepareHead(head, queryNorm, angles, rotated)
    for (let head = keys; head < values; head += headBytes) prepareHead(head, keyNorm, angles, rotated)
    if (slot < 0) continue
    const size = (kvHeads as usize) * headBytes
    const block = ((slot as usize) / BLOCK_SIZE) * size * BLOCK_SIZE
    const offset = (slot as usize) % BLOCK_SIZE
    for (let head: usize = 0; head < size; head += headBytes) {
      const inPool = block + head * BLOCK_SIZE
      storeKey(keyPool + inPool + (offset << 2), keys + head)
      memory.copy(valuePool + inPool + offset * headBytes, values + head, headBytes)
    }
  }
}

function prepareHead(head: usize, weight: usize, angles: usize, rotated: usize): void {
  if (weight) normalise(head, weight)
  rotate(head, angles, rotated >> 1)
}

/** RMSNorm of one head: x / √(mean of squares + epsilon) · weight. */
function normalise(head: usize, weight: usize): void {
  let squares = f32x4.splat(0)
  for (let i: usize = 0; i < headBytes; i += 16) {
    const x = v128.load(head + i)
    squares = f32x4.add(squares, f32x4.mul(x, x))
  }
  const mean: f32 = sumLanes(squares) / ((headBytes >> 2) as f32)
  const scale = f32x4.splat((1 as f32) / sqrt<f32>(mean + epsilon))
  for (let i: usize = 0; i < headBytes; i += 16) {
    v128.store(head + i, f32x4.mul(f32x4.mul(v128.load(head + i), scale), v128.load(weight + i)))
  }
}

/** Rotates the pairs of values that are `half` bytes apart, the first ones of one head. */
function rotate(head: usize, angles: usize, half: usize): void {
  let i: usize = 0
  for (; i + 16 <= half; i += 16) {
    const first = v128.load(angles + 2 * i)
    const second = v128.load(angles + 2 * i, 16)
    const cos = v128.shuffle<f32>(first, second, 0, 2, 4, 6)
    const sin = v128.shuffle<f32>(first, second, 1, 3, 5, 7)
    const a = v128.load(head + i)
    const b = v128.load(head + half + i)
    v128.store(head + i, f32x4.sub(f32x4.mul(a, cos), f32x4.mul(b, sin)))
    v128.store(head + half + i, f32x4.add(f32x4.mul(b, cos), f32x4.mul(a, sin)))
  }
  for (; i < half; i += 4) {
    const cos = load<f32>(angles + 2 * i)
    const sin = load<f32>(angles + 2 * i, 4)
    const a = load<f32>(head + i)
    const b = load<f32>(head + half + i)
    store<f32>(head + i, a * cos - b * sin)
    store<f32>(head + half + i, b * cos + a * sin)
  }
}

/** Writes one key to its place in a block, where the elements of a key are KEY_BYTES apart. */
function storeKey(to: usize, key: usize): void {
  for (let i: usize = 0; i < headBytes; i += 4) {
    store<f32>(to, load<f32>(key + i))
    to += KEY_BYTES
  }
}
