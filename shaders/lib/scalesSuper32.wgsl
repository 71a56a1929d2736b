// Five words for 256 inputs: d and dmin, f16 (lib/half.wgsl), then sc and mn of eight groups of 32, unsigned bytes; s = d * sc, m = -dmin * mn.
const SCALED: bool = true;
override SCALE_WORDS: u32 = K / 256u * 5u;

fn scaleIndices(start: u32, group: u32) -> vec2u {
  let first = start + group / 64u * 5u * TILE_COLUMNS;
  return vec2u(first, first + (1u + group % 64u / 16u) * TILE_COLUMNS);
}

fn scaleOf(words: vec2u, group: u32) -> vec2f {
  let bytes = words.y >> (group / 8u % 2u * 16u);
  return vec2f(half(words.x) * f32(bytes & 255u), -half(words.x >> 16u) * f32((bytes >> 8u) & 255u));
}
