// Online softmax (ORDER.md): a split's state is (m, l, o), the largest score so far, the sum of exp(score - m), and the sum of
// exp(score - m) * v. Tiles and splits are aligned to position 0, never to where a row or an item begins.
const KEY_TILE: u32 = 32u;
const SPLIT_KEYS: u32 = 256u;
// the maximum over no keys
const NO_SCORE: f32 = -3e38;
const NO_PART: u32 = 0xFFFFFFFFu;
// A score is summed over contiguous ranges of dims, each a multiple of four long.
const SCORE_RANGES: u32 = 4u;

fn scoreRange(range: u32) -> u32 {
  return range * HEAD_VECS / SCORE_RANGES;
}

// The factor that rescales sums relative to maximum `m` to maximum `newM`.
fn rescale(m: f32, newM: f32) -> f32 {
  return select(exp(m - newM), 1.0, m == newM);
}
