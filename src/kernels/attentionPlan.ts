/**
 * The work lists of attention: which rows and splits a workgroup computes, and which partials are merged. Positions are
 * upper bounds, since the exact position of a decoding request may be known on the device only. The lists never change
 * the bits of a row (`shaders/ORDER.md`), only which workgroup computes it. After FlashInfer's plan step.
 */

/** Query rows per workgroup: an item's rows times the query heads per KV head. */
export const ATTENTION_ROWS = 16
/** Keys per split, counted from position 0: `SPLIT_KEYS` of the shaders. */
export const SPLIT_KEYS = 256

/** u32 words of an item: firstRow, rowCount, firstSplit, splitCount, firstPart. */
export const ITEM_WORDS = 5
/** u32 words of a merge: row, firstPart, partStride, partCount. */
export const MERGE_WORDS = 4
/** `firstPart` of an item that merges its splits itself. */
export const NO_PART = 0xffffffff

/** Consecutive rows of one request. */
export interface AttentionRows {
  readonly firstRow: number
  readonly rowCount: number
  /** upper bound of the last row's position; the row before it is at one less, and so on */
  readonly maxPosition: number
  /** one workgroup per split instead of all splits in sequence: for few rows over many keys */
  readonly split: boolean
}

export interface AttentionPlan {
  /** [itemCount][ITEM_WORDS] */
  readonly items: Uint32Array<ArrayBuffer>
  readonly itemCount: number
  /** [mergeCount][MERGE_WORDS], one per row that leaves partials */
  readonly merges: Uint32Array<ArrayBuffer>
  readonly mergeCount: number
  /** number of partials */
  readonly parts: number
}

/** Most rows of an item. */
export function rowsPerItem(group: number): number {
  return Math.max(1, Math.floor(ATTENTION_ROWS / group))
}

/**
 * Lists the items and merges of a pass.
 * @param group query heads of a KV head
 */
export function planAttention(requests: readonly AttentionRows[], group: number): AttentionPlan {
  const itemRows = rowsPerItem(group)
  const items: number[] = []
  const merges: number[] = []
  let parts = 0
  for (const { firstRow, rowCount, maxPosition, split } of requests) {
    const end = firstRow + rowCount
    for (let row = firstRow; row < end; row += itemRows) {
      const count = Math.min(itemRows, end - row)
      const lastPosition = maxPosition - (end - row - count)
      const splits = Math.floor(lastPosition / SPLIT_KEYS) + 1
      if (!split || splits === 1) {
        items.push(row, count, 0, splits, NO_PART)
        continue
      }
      for (let i = 0; i < count; i++) merges.push(row + i, parts + i, count, splits)
      for (let s = 0; s < splits; s++) items.push(row, count, s, 1, parts + s * count)
      parts += splits * count
    }
  }
  return {
    items: Uint32Array.from(items),
    itemCount: items.length / ITEM_WORDS,
    merges: Uint32Array.from(merges),
    mergeCount: merges.length / MERGE_WORDS,
    parts,
  }
}
