// s and m of a group of SCALE_GROUP inputs in a word, bfloat16.
const SCALED: bool = true;
override SCALE_WORDS: u32 = K / SCALE_GROUP;

fn scaleIndices(start: u32, group: u32) -> vec2u {
  return vec2u(start + group * 4u / SCALE_GROUP * TILE_COLUMNS);
}

fn scaleOf(words: vec2u, group: u32) -> vec2f {
  return bitcast<vec2f>(vec2u(words.x << 16u, words.x & 0xFFFF0000u));
}
