// Reduces a row's chunks to its token and digest. The token is NO_TOKEN where the row has a NaN or +infinity, or every token is
// masked. The logits may be of part of the vocabulary: `tokenIds` then maps columns to ids, in ascending order, so that a tie
// still goes to the lowest id.
@group(0) @binding(0) var<uniform> pass_: Pass;
// [columns]
@group(1) @binding(0) var<storage, read> tokenIds: array<u32>;
// [rows][CHUNKS]
@group(2) @binding(0) var<storage, read> chunks: array<Chunk>;
// [rows]
@group(2) @binding(1) var<storage, read_write> tokens: array<u32>;
// [rows] (low, high)
@group(2) @binding(2) var<storage, read_write> digests: array<vec2u>;

override CHUNKS: u32;
// false: `digests` is not written
override DIGEST: bool;
// `tokenIds` maps columns to ids; false: columns are ids, and `tokenIds` is not read
override SUBSET: bool;

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) invocation: vec3u) {
  let row = invocation.x;
  if (row >= pass_.rows) {
    return;
  }
  var best = Chunk(0u, NO_TOKEN, vec2u(0u, 0u));
  var invalid = false;
  for (var i = 0u; i < CHUNKS; i++) {
    let chunk = chunks[row * CHUNKS + i];
    best.digest += chunk.digest;
    invalid = invalid || chunk.token == INVALID_TOKEN;
    // A tie goes to the lowest id.
    if (chunk.rank > best.rank || (chunk.rank == best.rank && chunk.token < best.token)) {
      best.rank = chunk.rank;
      best.token = chunk.token;
    }
  }
  var token = select(best.token, NO_TOKEN, invalid);
  if (SUBSET && token != NO_TOKEN) {
    token = tokenIds[token];
  }
  tokens[row] = token;
  if (DIGEST) {
    digests[row] = best.digest;
  }
}
