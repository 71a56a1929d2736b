// out = embedding of each row's token, one invocation per four elements. The embedding has the layout of every weight matrix,
// because it is also the LM head of a tied model. An id outside the vocabulary reads the last token's embedding.
override HIDDEN_SIZE: u32;
override VOCAB_SIZE: u32;
// true: the embedding is zero where the row's position is 0
override MASK_FIRST: bool;

@group(0) @binding(0) var<uniform> pass_: Pass;
@group(0) @binding(1) var<storage, read> ids: array<u32>; // [rows]
@group(0) @binding(2) var<storage, read> positions: array<u32>; // [rows]
@group(1) @binding(0) var<storage, read> weight: array<WeightWord>; // [HIDDEN_SIZE/4][VOCAB_SIZE]
@group(2) @binding(0) var<storage, read_write> out: array<vec4f>; // [rows][HIDDEN_SIZE/4]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let group = id.x;
  let row = id.y;
  if (group >= HIDDEN_SIZE / 4u || row >= pass_.rows) {
    return;
  }
  let token = min(ids[row], VOCAB_SIZE - 1u);
  var value = unpackWeight(weight[group * VOCAB_SIZE + token]);
  if (MASK_FIRST) {
    if (positions[row] == 0u) {
      value = vec4f();
    }
  }
  out[row * (HIDDEN_SIZE / 4u) + group] = value;
}
