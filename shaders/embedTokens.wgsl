// out = SCALE * embedding of each row's token, one invocation per four elements. The embedding has the layout of every weight
// matrix, because it is also the LM head of a tied model; of a matrix in several parts a dispatch has the tokens FIRST_TOKEN to
// FIRST_TOKEN + TOKENS - 1, and skips rows with others. An id outside the vocabulary reads the last token's embedding.
override K: u32;
override VOCAB_SIZE: u32;
override FIRST_TOKEN: u32;
override TOKENS: u32;
override SCALE: f32;
// true: the embedding is zero where the row's position is 0
override MASK_FIRST: bool;

@group(0) @binding(0) var<uniform> pass_: Pass;
@group(0) @binding(1) var<storage, read> ids: array<u32>; // [rows]
@group(0) @binding(2) var<storage, read> positions: array<u32>; // [rows]
@group(1) @binding(0) var<storage, read> weight: array<WeightWord>;
@group(1) @binding(1) var<storage, read> scales: array<u32>;
@group(2) @binding(0) var<storage, read_write> out: array<vec4f>; // [rows][K/4]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let group = id.x;
  let row = id.y;
  if (group >= K / 4u || row >= pass_.rows) {
    return;
  }
  let token = min(ids[row], VOCAB_SIZE - 1u);
  if (token < FIRST_TOKEN || token - FIRST_TOKEN >= TOKENS) {
    return;
  }
  let column = token - FIRST_TOKEN;
  var value = codesOf(weight[wordIndex(columnStart(column), group)], group);
  if (SCALED) {
    let at = scaleIndices(scaleStart(column), group);
    value = dequantise(value, scaleOf(vec2u(scales[at.x], scales[at.y]), group));
  }
  if (SCALE != 1.0) {
    value *= SCALE;
  }
  if (MASK_FIRST) {
    if (positions[row] == 0u) {
      value = vec4f();
    }
  }
  out[row * (K / 4u) + group] = value;
}
