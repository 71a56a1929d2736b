// What a chunk of a row's vocabulary contributes to the choice. 16 bytes.
struct Chunk {
  // the best score's key (lib/logitKey.wgsl), 0 where it keeps no token
  rank: u32,
  // NO_TOKEN where it keeps none, INVALID_TOKEN where it holds a NaN or +infinity
  token: u32,
  // sums of pcg2d(id, bits) over its raw logits
  digest: vec2u,
}

const INVALID_TOKEN: u32 = 0xFFFFFFFEu;
