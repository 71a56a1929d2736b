/**
 * Causal grouped-query attention of one run of rows over the paged cache.
 *
 * Queries are (row, head) pairs of one KV head, heads first, and four of them at a time share the loads of K and V; where one
 * or two remain, a narrower function serves them. Rows of a run end at different keys: the functions that serve several queries
 * stop at the last key of the first, and the remaining keys, at most three, are added query by query. Every sum has one order
 * (scores.ts, values.ts), so the bits of a row depend on its own context alone.
 */

import { PACK_BYTES, scoreBlock2, scoreBlock4, softmax } from './scores'
import { BLOCK_SIZE, blockAddress, headBytes, kvHeads, queryHeads, queryScale, rowBytes } from './shape'
import { addValues, sumValues2, sumValues4 } from './values'

/** Offsets in the record of a pair: address of its output, number of its keys, 1 / sum of its weights. */
const OUT: usize = 0
const KEYS: usize = 4
const FACTOR: usize = 8
const RECORD_BYTES: usize = 16

/**
 * Row i attends to positions 0…position + i.
 * @param qkv [rows][query heads, key heads, value heads][headDim] f32, of which the query heads are read
 * @param out [rows][query heads][headDim] f32
 * @param position of the first row
 * @param table i32 ids of the blocks of positions 0…position + rows - 1
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
        const record = records + (i as usize) * RECORD_BYTES
        store<usize>(record, out + ((row * queryHeads + head) as usize) * headBytes, OUT)
        store<usize>(record, (position + row + 1) as usize, KEYS)
        packQuery(qkv + (row as usize) * rowBytes + (head as usize) * headBytes, packed + ((i as usize) << 2))
      }
      const shared = load<usize>(records, KEYS)
      const most = load<usize>(records + ((count - 1) as usize) * RECORD_BYTES, KEYS)
      for (let key: usize = 0; key < most; key += BLOCK_SIZE) {
        const block = blockAddress(keyPool, table, key, kvHead)
        if (count > 2) scoreBlock4(packed, block, scores + (key << 2), stride)
        else scoreBlock2(packed, block, scores + (key << 2), stride)
      }
      for (let i = 0; i < count; i++) {
        const record = records + (i as usize) * RECORD_BYTES
        store<f32>(record, softmax(scores + (i as usize) * stride, load<usize>(record, KEYS)), FACTOR)
      }
      const covered =
        count > 2
          ? sumValues4(scores, stride, valuePool, table, kvHead, shared, sums)
          : sumValues2(scores, stride, valuePool, table, kvHead, shared, sums)
      for (let i = 0; i < count; i++) {
        const pairSums = sums + (i as usize) * headBytes
        const record = records + (i as usize) * RECORD_BYTES
        finishPair(scores + (i as usize) * stride, valuePool, table, kvHead, shared, pairSums, covered, record)
      }
    }
  }
}

/**
 * Adds to a pair's sums what the wide functions left out, columns from byte `covered` on and keys from `shared` on, and writes
 * its output.
 */
function finishPair(
  weights: usize,
  pool: usize,
  table: usize,
  kvHead: i32,
  shared: usize,
  sums: usize,
  covered: usize,
  record: usize,
): void {
  if (covered < headBytes) {
    memory.fill(sums + covered, 0, headBytes - covered)
    addValues(weights, pool, table, kvHead, 0, shared, sums, covered)
  }
  addValues(weights, pool, table, kvHead, shared, load<usize>(record, KEYS), sums, 0)
  const factor = v128.load32_splat(record, FACTOR)
  const out = load<usize>(record, OUT)
  for (let i: usize = 0; i < headBytes; i += 16) v128.store(out + i, f32x4.mul(v128.load(sums + i), factor))
}

/** Writes a query times 1 / √headDim to every fourth float from `to` on. */
function packQuery(query: usize, to: usize): void {
  const scale = f32x4.splat(queryScale)
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
