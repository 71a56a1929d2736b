// A layer's cache is one buffer of words of four values: first K, then V, each [block][kvHead][slot in block][D / 4].
override KV_HEADS: u32;
override TOTAL_BLOCKS: u32;

// Index of the first word of a token's key; its value is `valueHalf()` words further on.
fn keyIndex(block: u32, kvHead: u32, offset: u32) -> u32 {
  return ((block * KV_HEADS + kvHead) * BLOCK_SIZE + offset) * HEAD_VECS;
}

fn valueHalf() -> u32 {
  return TOTAL_BLOCKS * KV_HEADS * BLOCK_SIZE * HEAD_VECS;
}
