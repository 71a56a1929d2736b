// y = activation(gate) * up of two products that were computed apart, with their biases; one invocation per four elements. Gate and
// up may lie in one buffer, side by side.
override N: u32;
override GATE_STRIDE: u32;
override GATE_OFFSET: u32;
override UP_STRIDE: u32;
override UP_OFFSET: u32;
override BIAS: bool;

@group(0) @binding(0) var<uniform> pass_: Pass;
@group(1) @binding(0) var<storage, read> gateBias: array<vec4f>; // [N/4]
@group(1) @binding(1) var<storage, read> upBias: array<vec4f>; // [N/4]
@group(2) @binding(0) var<storage, read> gate: array<vec4f>; // [rows][GATE_STRIDE/4], from GATE_OFFSET
@group(2) @binding(1) var<storage, read> up: array<vec4f>; // [rows][UP_STRIDE/4], from UP_OFFSET
@group(2) @binding(2) var<storage, read_write> y: array<vec4f>; // [rows][N/4]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let group = id.x;
  let row = id.y;
  if (group >= N / 4u || row >= pass_.rows) {
    return;
  }
  var g = gate[row * (GATE_STRIDE / 4u) + GATE_OFFSET / 4u + group];
  var u = up[row * (UP_STRIDE / 4u) + UP_OFFSET / 4u + group];
  if (BIAS) {
    g += gateBias[group];
    u += upBias[group];
  }
  y[row * (N / 4u) + group] =
    vec4f(activate(g.x, u.x), activate(g.y, u.y), activate(g.z, u.z), activate(g.w, u.w));
}
