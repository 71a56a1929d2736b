/**
 * The digest of a row of logits, as the GPU computes it (shaders/sampleChunks.wgsl): the sum over all ids of a hash of the id and
 * the logit's bits. pcg2d is from the paper named in noise.ts.
 */

import { digestHex } from '../../util/digestHex.ts'

/** @param logits [vocabSize]. @returns 16 hex digits */
export function rowDigest(logits: Float32Array): string {
  const bits = new Int32Array(logits.buffer, logits.byteOffset, logits.length)
  let low = 0
  let high = 0
  for (let id = 0; id < bits.length; id++) {
    let x = (Math.imul(id, 1664525) + 1013904223) | 0
    let y = (Math.imul(bits[id] as number, 1664525) + 1013904223) | 0
    x = (x + Math.imul(y, 1664525)) | 0
    y = (y + Math.imul(x, 1664525)) | 0
    x ^= x >>> 16
    y ^= y >>> 16
    x = (x + Math.imul(y, 1664525)) | 0
    y = (y + Math.imul(x, 1664525)) | 0
    low = (low + (x ^ (x >>> 16))) | 0
    high = (high + (y ^ (y >>> 16))) | 0
  }
  return digestHex(low, high)
}
