/**
 * Sizes of the model and what follows from them, set once by `configure` and read by every function. The module has no data and
 * allocates nothing: all other addresses are parameters.
 */

/** Tokens of a KV block. */
export const BLOCK_SIZE: usize = 16

/** Bytes between two elements of a dimension of K: 16 keys side by side. */
export const KEY_BYTES: usize = BLOCK_SIZE * 4

export let queryHeads: i32 = 0
export let kvHeads: i32 = 0
/** Bytes of one head of a row: headDim · 4. */
export let headBytes: usize = 0
/** Bytes of one row of q, k and v: (queryHeads + 2 · kvHeads) · headBytes. */
export let rowBytes: usize = 0
/** Bytes of K, or of V, of one KV head in one block. */
export let blockBytes: usize = 0
/** Epsilon of QK-norm. */
export let epsilon: f32 = 0
/** A score s becomes softcap · tanh(s / softcap); 0: it stays. */
export let softcap: f32 = 0

/** @param headDim a multiple of 4 */
export function configure(heads: i32, keyHeads: i32, headDim: i32, normEpsilon: f32, scoreCap: f32): void {
  queryHeads = heads
  kvHeads = keyHeads
  headBytes = (headDim as usize) << 2
  rowBytes = ((heads + 2 * keyHeads) as usize) * headBytes
  blockBytes = headBytes * BLOCK_SIZE
  epsilon = normEpsilon
  softcap = scoreCap
}

/** The address of K, or of V, of one KV head in the block that holds key `key`. `table`: i32 block ids. */
export function blockAddress(pool: usize, table: usize, key: usize, kvHead: i32): usize {
  const block = load<i32>(table + ((key / BLOCK_SIZE) << 2))
  return pool + ((block * kvHeads + kvHead) as usize) * blockBytes
}
