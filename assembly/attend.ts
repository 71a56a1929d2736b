/**
 * Causal grouped-query attention of one run of rows over the paged cache, each row to all keys before it or to a window of them.
 *
 * Queries are (row, head) pairs of one KV head, heads first, and four of them at a time share the loads of K and V; where one
 * or two remain, a narrower function serves them. Rows of a run begin and end at different keys: the functions that serve several
 * queries take the keys that all of them have, and the others, at most three at each end, are added query by query. Every sum has
 * one order (scores.ts, values.ts), so the bits of a row depend on its own context alone.
 */

import { PACK_BYTES, scoreBlock2, scoreBlock4, softmax } from './scores'
import { BLOCK_SIZE, blockAddress, headBytes, kvHeads, queryHeads, rowBytes } from './shape'
import { addValues, sumValues2, sumValues4 } from './values'

/** Offsets in the record of a pair: address of its output, its first key, the one after its last, 1 / sum of its weights. */
const OUT: usize = 0
const FIRST: usize = 4
const KEYS: usize = 8
const FACTOR: usize = 12
const RECORD_BYTES: usize = 16

/**
 * Row i attends to positions 0…position + i, of which the last `window`.
 * @param qkv [rows][query heads, key heads, value heads][headDim] f32, of which the query heads are read
 * @param out [rows][query heads][headDim] f32
 * @param position of the first row
 * @param window at least 1
 * @param queryScales [position] f32: queries are multiplied by it
 * @param table i32 ids of the blocks of positions 0…position + rows - 1; of those before the first window none is read
 * @param keyPool [block][kvHead][headDim][16] f32
 * @param valuePool [block][kvHead][16][headDim] f32
 * @param scratch 16-byte aligned: packed queries [headDim][4] f32, sums [4][headDim] f32, records of four pairs, scores
 *   [4][stride / 4] f32
 * @param stride bytes of the scores of a pair, a multiple of 64
 */
export function attend(
  qkv: usize,
  out: usize,
  rows: i32,
  position: i32,
  window: i32,
  queryScales: usize,
  table: usize,
  keyPool: usize,
  valuePool: usize,
  scratch: usize,
  stride: usize,
): void {
  const group = queryHeads / kvHeads
  const pairs = rows * group
  const packed = scratch
  const sums = packed + 4 * headBytes
  const records = sums + 4 * headBytes
  const scores = records + 4 * RECORD_BYTES
  for (let kvHead = 0; kvHead < kvHeads; kvHead++) {
    for (let first = 0; first < pairs; first += 4) {
      const count = min(4, pairs - first)
      for (let i = 0; i < count; i++) {
        const row = (first + i) / group
        const head = kvHead * group + (first + i - row * group)
        const keys = position + row + 1
        const record = records + (i as usize) * RECORD_BYTES
        store<usize>(record, out + ((row * queryHeads + head) as usize) * headBytes, OUT)
        store<usize>(record, max(0, keys - window) as usize, FIRST)
        store<usize>(record, keys as usize, KEYS)
        const scale = load<f32>(queryScales + ((position + row) << 2))
        packQuery(qkv + (row as usize) * rowBytes + (head as usize) * headBytes, scale, packed + ((i as usize) << 2))
      }
      const lastRecord = records + ((count - 1) as usize) * RECORD_BYTES
      const most = load<usize>(lastRecord, KEYS)
      for (let key = load<usize>(records, FIRST) & ~(BLOCK_SIZE - 1); key < most; key += BLOCK_SIZE) {
        const block = blockAddress(keyPool, table, key, kvHead)
        if (count > 2) scoreBlock4(packed, block, scores + (key << 2), stride)
        else scoreBlock2(packed, block, scores + (key << 2), stride)
      }
      // Of windows shorter than four keys the rows may have none in common.
      const sharedEnd = load<usize>(records, KEYS)
      const shared = min(load<usize>(lastRecord, FIRST), sharedEnd)
      memory.fill(sums, 0, (count as usize) * headBytes)
      for (let i = 0; i < count; i++) {
        const record = records + (i as usize) * RECORD_BYTES
        const weights = scores + (i as usize) * stride
        const own = load<usize>(record, FIRST)
        store<f32>(record, softmax(weights, own, load<usize>(record, KEYS)), FACTOR)
        addValues(weights, valuePool, table, kvHead, own, shared, sums + (i as usize) * headBytes, 0)
      }
      const covered =
        count > 2
          ? sumValues4(scores, stride, valuePool, table, kvHead, shared, sharedEnd, sums)
          : sumValues2(scores, stride, valuePool, table, kvHead, shared, sharedEnd, sums)
      for (let i = 0; i < count; i++) {
        const record = records + (i as usize) * RECORD_BYTES
        const weights = scores + (i as usize) * stride
        const pairSums = sums + (i as usize) * headBytes
        if (covered < headBytes) addValues(weights, valuePool, table, kvHead, shared, sharedEnd, pairSums, covered)
        const rest = max(sharedEnd, load<usize>(record, FIRST))
        addValues(weights, valuePool, table, kvHead, rest, load<usize>(record, KEYS), pairSums, 0)
        finish(pairSums, record)
      }
    }
  }
}

/** Writes the output of a pair: its sums by the sum of its weights. */
function finish(sums: usize, record: usize): void {
  const factor = v128.load32_splat(record, FACTOR)
  const out = load<usize>(record, OUT)
  for (let i: usize = 0; i < headBytes; i += 16) v128.store(out + i, f32x4.mul(v128.load(sums + i), factor))
}

/** Writes a query times `factor` to every fourth float from `to` on. */
function packQuery(query: usize, factor: f32, to: usize): void {
  const scale = f32x4.splat(factor)
  const end = query + headBytes
  for (; query < end; query += 16) {
    const scaled = f32x4.mul(v128.load(query), scale)
    v128.store_lane<f32>(to, scaled, 0)
    v128.store_lane<f32>(to, scaled, 1, PACK_BYTES)
    v128.store_lane<f32>(to, scaled, 2, 2 * PACK_BYTES)
    v128.store_lane<f32>(to, scaled, 3, 3 * PACK_BYTES)
    to += 4 * PACK_BYTES
  }
}
