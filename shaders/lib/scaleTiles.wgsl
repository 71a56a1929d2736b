// Scales are stored in tiles like codes, [tile][word][32]. A weight is fma(code, s, m): s, m and the product are exact, so it is
// rounded once, whether the driver fuses it or not.

// Where the scales of a column begin. Those of the next three columns follow it, if it is a multiple of 4.
fn scaleStart(column: u32) -> u32 {
  return column / TILE_COLUMNS * SCALE_WORDS * TILE_COLUMNS + column % TILE_COLUMNS;
}

fn dequantise(codes: vec4f, scale: vec2f) -> vec4f {
  return fma(codes, vec4f(scale.x), vec4f(scale.y));
}
