// The result of sampling within one chunk of a row's vocabulary. 16 bytes.
struct Chunk {
  // key of the best score (lib/logitKey.wgsl); 0 where every token is cut
  rank: u32,
  // the best token; NO_TOKEN where every token is cut, INVALID_TOKEN where a logit is NaN or +infinity
  token: u32,
  // sum of pcg2d(id, bits) over the chunk's raw logits
  digest: vec2u,
}

const INVALID_TOKEN: u32 = 0xFFFFFFFEu;
