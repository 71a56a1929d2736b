// s and m of a group of SCALE_GROUP inputs in a word, f16 (lib/half.wgsl).
const SCALED: bool = true;
override SCALE_WORDS: u32 = K / SCALE_GROUP;

fn scaleIndices(start: u32, group: u32) -> vec2u {
  return vec2u(start + group * 4u / SCALE_GROUP * TILE_COLUMNS);
}

fn scaleOf(words: vec2u, group: u32) -> vec2f {
  return vec2f(half(words.x), half(words.x >> 16u));
}
