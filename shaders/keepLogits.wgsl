// Copies the raw logits of the sampled rows for the host: later kernels adjust them in place, and draft passes overwrite them.
// One invocation per logit.
@group(0) @binding(0) var<uniform> pass_: Pass;
// [rows][VOCAB_SIZE], the bits of f32
@group(2) @binding(0) var<storage, read> logits: array<u32>;
@group(2) @binding(1) var<storage, read_write> rawLogits: array<u32>;

override VOCAB_SIZE: u32;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) invocation: vec3u) {
  let token = invocation.x;
  let row = invocation.y;
  if (token >= VOCAB_SIZE || row >= pass_.rows) {
    return;
  }
  rawLogits[row * VOCAB_SIZE + token] = logits[row * VOCAB_SIZE + token];
}
