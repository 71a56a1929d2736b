// s of two groups of SCALE_GROUP inputs in a word, f16 (lib/half.wgsl); m = -SCALE_ZERO * s.
const SCALED: bool = true;
override SCALE_WORDS: u32 = (K / SCALE_GROUP + 1u) / 2u;

fn scaleIndices(start: u32, group: u32) -> vec2u {
  return vec2u(start + group * 4u / SCALE_GROUP / 2u * TILE_COLUMNS);
}

fn scaleOf(words: vec2u, group: u32) -> vec2f {
  let s = half(words.x >> (group * 4u / SCALE_GROUP % 2u * 16u));
  return vec2f(s, -f32(SCALE_ZERO) * s);
}
