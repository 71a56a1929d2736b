// The online softmax of ORDER.md: a split's state is (m, l, o), the largest score so far, the sum of exp(score - m) and the sum
// of exp(score - m) * v. Tiles and splits are counted from position 0, never from where a row or an item begins.
const KEY_TILE: u32 = 32u;
const SPLIT_KEYS: u32 = 256u;
// The maximum of no keys.
const NO_SCORE: f32 = -3e38;
const NO_PART: u32 = 0xFFFFFFFFu;
// A score is summed over contiguous ranges of d, on borders of four elements.
const SCORE_RANGES: u32 = 4u;

fn scoreRange(range: u32) -> u32 {
  return range * HEAD_VECS / SCORE_RANGES;
}

// The factor that moves sums relative to the maximum `m` to the maximum `newM`.
fn rescale(m: f32, newM: f32) -> f32 {
  return select(exp(m - newM), 1.0, m == newM);
}
