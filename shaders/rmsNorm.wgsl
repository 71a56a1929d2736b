// RMSNorm, 16 lanes per row and 4 rows per workgroup: lane r sums the squares of range r; then every lane adds the 16 sums in
// order and writes every 16th group of four. With BY_SLOT a row is written at its KV slot, if it has one.
const ROWS: u32 = 4u;

override K: u32;
override EPS: f32;
override IN_STRIDE: u32;
override IN_OFFSET: u32;
override OUT_STRIDE: u32;
override OUT_OFFSET: u32;
override BY_SLOT: bool;
// true: SCALE times the norm is added to the output
override ADD: bool;
override SCALE: f32;

@group(0) @binding(0) var<uniform> pass_: Pass;
@group(0) @binding(1) var<storage, read> slots: array<u32>; // [rows]
@group(1) @binding(0) var<storage, read> weight: array<vec4f>; // [K/4]
@group(2) @binding(0) var<storage, read> x: array<vec4f>; // [rows][IN_STRIDE/4], from IN_OFFSET
@group(2) @binding(1) var<storage, read_write> out: array<vec4f>; // [rows or slots][OUT_STRIDE/4], from OUT_OFFSET

var<workgroup> sums: array<f32, ROWS * RANGES>; // [row][range]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) tile: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = tile.x * ROWS + lane / RANGES;
  let range = lane % RANGES;
  let input = row * (IN_STRIDE / 4u) + IN_OFFSET / 4u;
  var square = 0.0;
  if (row < pass_.rows) {
    let end = rangeStart(range + 1u, K / 4u);
    for (var group = rangeStart(range, K / 4u); group < end; group++) {
      let value = x[input + group];
      square = chain(square, value, value);
    }
  }
  sums[lane] = square;
  workgroupBarrier();

  if (row >= pass_.rows) {
    return;
  }
  var sum = 0.0;
  for (var i = 0u; i < RANGES; i++) {
    sum += sums[lane - range + i];
  }
  let scale = inverseSqrt(sum / f32(K) + EPS);
  var place = row;
  if (BY_SLOT) {
    place = slots[row];
    if (place == NO_SLOT) {
      return;
    }
  }
  let output = place * (OUT_STRIDE / 4u) + OUT_OFFSET / 4u;
  for (var group = range; group < K / 4u; group += RANGES) {
    let normed = (x[input + group] * scale) * weight[group];
    if (ADD) {
      out[output + group] = fma(vec4f(SCALE), normed, out[output + group]);
    } else {
      out[output + group] = normed;
    }
  }
}
