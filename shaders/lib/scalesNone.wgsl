// A matrix that is not quantised: a weight is its code. `scales` is bound and not read.
const SCALED: bool = false;
const SCALE_WORDS: u32 = 0u;

fn scaleIndices(start: u32, group: u32) -> vec2u {
  return vec2u();
}

fn scaleOf(words: vec2u, group: u32) -> vec2f {
  return vec2f(1.0, 0.0);
}
