// RMSNorm, one invocation per row, no barriers. With BY_SLOT a row is written at its KV slot, if it has one.
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

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.x;
  if (row >= pass_.rows) {
    return;
  }
  let input = row * (IN_STRIDE / 4u) + IN_OFFSET / 4u;
  var sum = 0.0;
  for (var range = 0u; range < RANGES; range++) {
    var square = 0.0;
    let end = rangeStart(range + 1u, K / 4u);
    for (var group = rangeStart(range, K / 4u); group < end; group++) {
      let value = x[input + group];
      square = chain(square, value, value);
    }
    sum += square;
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
  for (var group = 0u; group < K / 4u; group++) {
    let normed = (x[input + group] * scale) * weight[group];
    if (ADD) {
      out[output + group] = fma(vec4f(SCALE), normed, out[output + group]);
    } else {
      out[output + group] = normed;
    }
  }
}
