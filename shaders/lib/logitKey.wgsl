// Logits as integers: an order-preserving key, and tests on bits, because a compiler may assume that no f32 is NaN or infinite.
const NEGATIVE_INFINITY: u32 = 0xFF800000u;
const NEGATIVE_INFINITY_KEY: u32 = 0x00800000u;
const POSITIVE_INFINITY_KEY: u32 = 0xFF800000u;

// A greater logit has a greater key; -0 and +0 share one. A NaN's key is above +infinity's or below -infinity's. No key is 0.
fn logitKey(bits: u32) -> u32 {
  return select(bits | 0x80000000u, 0u - bits, bits >= 0x80000000u);
}

fn keyLogit(key: u32) -> f32 {
  return bitcast<f32>(select(0u - key, key & 0x7FFFFFFFu, key >= 0x80000000u));
}

// Whether a logit is NaN or +infinity. -infinity is a masked token and not an error.
fn isInvalid(bits: u32) -> bool {
  return (bits & 0x7F800000u) == 0x7F800000u && bits != NEGATIVE_INFINITY;
}
