/**
 * Scores of queries against the keys of a block, and their softmax. A lane is a key, so a score is one sum over headDim in
 * ascending order, whichever function computes it. Scores of slots beside a row's keys are computed as well, from whatever is there;
 * `softmax` overwrites them.
 */

import { exp4, largestLane, sumLanes, tanh4 } from './lanes'
import { headBytes, KEY_BYTES, softcap } from './shape'

/** Bytes between the elements of a packed query: four queries side by side. */
export const PACK_BYTES: usize = 16

/**
 * Four queries against the 16 keys of a block.
 * @param packed [headDim][4] f32: queries times their scale
 * @param keys [headDim][16] f32
 * @param scores [16] f32 of the first query; those of the next are `stride` bytes on
 */
export function scoreBlock4(packed: usize, keys: usize, scores: usize, stride: usize): void {
  const end = packed + (headBytes << 2)
  for (let half: usize = 0; half < KEY_BYTES; half += 32) {
    let a0 = f32x4.splat(0)
    let a1 = a0
    let b0 = a0
    let b1 = a0
    let c0 = a0
    let c1 = a0
    let d0 = a0
    let d1 = a0
    let k = keys + half
    for (let q = packed; q < end; q += PACK_BYTES) {
      const k0 = v128.load(k)
      const k1 = v128.load(k, 16)
      k += KEY_BYTES
      const a = v128.load32_splat(q)
      a0 = f32x4.add(a0, f32x4.mul(a, k0))
      a1 = f32x4.add(a1, f32x4.mul(a, k1))
      const b = v128.load32_splat(q, 4)
      b0 = f32x4.add(b0, f32x4.mul(b, k0))
      b1 = f32x4.add(b1, f32x4.mul(b, k1))
      const c = v128.load32_splat(q, 8)
      c0 = f32x4.add(c0, f32x4.mul(c, k0))
      c1 = f32x4.add(c1, f32x4.mul(c, k1))
      const d = v128.load32_splat(q, 12)
      d0 = f32x4.add(d0, f32x4.mul(d, k0))
      d1 = f32x4.add(d1, f32x4.mul(d, k1))
    }
    let to = scores + half
    v128.store(to, a0)
    v128.store(to, a1, 16)
    to += stride
    v128.store(to, b0)
    v128.store(to, b1, 16)
    to += stride
    v128.store(to, c0)
    v128.store(to, c1, 16)
    to += stride
    v128.store(to, d0)
    v128.store(to, d1, 16)
  }
}

/** The first two of four packed queries against the 16 keys of a block; parameters as of `scoreBlock4`. */
export function scoreBlock2(packed: usize, keys: usize, scores: usize, stride: usize): void {
  let a0 = f32x4.splat(0)
  let a1 = a0
  let a2 = a0
  let a3 = a0
  let b0 = a0
  let b1 = a0
  let b2 = a0
  let b3 = a0
  let k = keys
  const end = packed + (headBytes << 2)
  for (let q = packed; q < end; q += PACK_BYTES) {
    const k0 = v128.load(k)
    const k1 = v128.load(k, 16)
    const k2 = v128.load(k, 32)
    const k3 = v128.load(k, 48)
    k += KEY_BYTES
    const a = v128.load32_splat(q)
    a0 = f32x4.add(a0, f32x4.mul(a, k0))
    a1 = f32x4.add(a1, f32x4.mul(a, k1))
    a2 = f32x4.add(a2, f32x4.mul(a, k2))
    a3 = f32x4.add(a3, f32x4.mul(a, k3))
    const b = v128.load32_splat(q, 4)
    b0 = f32x4.add(b0, f32x4.mul(b, k0))
    b1 = f32x4.add(b1, f32x4.mul(b, k1))
    b2 = f32x4.add(b2, f32x4.mul(b, k2))
    b3 = f32x4.add(b3, f32x4.mul(b, k3))
  }
  v128.store(scores, a0)
  v128.store(scores, a1, 16)
  v128.store(scores, a2, 32)
  v128.store(scores, a3, 48)
  const next = scores + stride
  v128.store(next, b0)
  v128.store(next, b1, 16)
  v128.store(next, b2, 32)
  v128.store(next, b3, 48)
}

/**
 * Replaces the scores of keys first…keys - 1 by exp(score - largest score), after their cap. If a score is NaN or +∞, or all are -∞,
 * or one is -∞ and has a cap, every one becomes 0 and the result ∞, so that the row's output is NaN.
 * @param scores of key 0, 16-byte aligned; those from `first` down to a multiple of four keys and from `keys` up to one are
 *   overwritten
 * @returns 1 / their sum
 */
export function softmax(scores: usize, first: usize, keys: usize): f32 {
  const begin = scores + ((first & ~3) << 2)
  const last = scores + (keys << 2)
  const end = (last + 15) & ~15
  if (softcap > 0) capScores(begin, end)
  for (let p = begin; p < scores + (first << 2); p += 4) store<f32>(p, -Infinity)
  for (let p = last; p < end; p += 4) store<f32>(p, -Infinity)
  let largest = f32x4.splat(-Infinity)
  for (let p = begin; p < end; p += 16) largest = f32x4.max(largest, v128.load(p))
  largest = f32x4.splat(largestLane(largest))
  let sum = f32x4.splat(0)
  for (let p = begin; p < end; p += 16) {
    const weight = exp4(f32x4.sub(v128.load(p), largest))
    v128.store(p, weight)
    sum = f32x4.add(sum, weight)
  }
  return (1 as f32) / sumLanes(sum)
}

function capScores(begin: usize, end: usize): void {
  const cap = f32x4.splat(softcap)
  const inverse = f32x4.splat((1 as f32) / softcap)
  for (let p = begin; p < end; p += 16) v128.store(p, f32x4.mul(cap, tanh4(f32x4.mul(v128.load(p), inverse))))
}
