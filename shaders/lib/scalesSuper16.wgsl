// Five words for 256 inputs: d, f16 (lib/half.wgsl), then sc of sixteen groups of 16, signed bytes; s = d * sc, m = -32 * s.
const SCALED: bool = true;
override SCALE_WORDS: u32 = K / 256u * 5u;

fn scaleIndices(start: u32, group: u32) -> vec2u {
  let first = start + group / 64u * 5u * TILE_COLUMNS;
  return vec2u(first, first + (1u + group % 64u / 16u) * TILE_COLUMNS);
}

fn scaleOf(words: vec2u, group: u32) -> vec2f {
  let byte = i32(words.y << (24u - group / 4u % 4u * 8u)) >> 24u;
  let s = half(words.x) * f32(byte);
  return vec2f(s, -32.0 * s);
}
