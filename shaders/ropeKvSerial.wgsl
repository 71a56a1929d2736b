// QK-norm where the model has it, RoPE, and the write of K and V to the cache, without barriers: one invocation per (row, head),
// heads of a row next to each other. Input rows are [query heads | key heads | value heads]. For adapters on which workgroups
// and barriers are expensive.
@group(0) @binding(0) var<uniform> pass_: Pass;
@group(0) @binding(1) var<storage, read> positions: array<u32>;
@group(0) @binding(2) var<storage, read> slots: array<u32>;
@group(1) @binding(0) var<storage, read> qNorm: array<vec4f>;
@group(1) @binding(1) var<storage, read> kNorm: array<vec4f>;
@group(1) @binding(2) var<storage, read> rope: array<vec4f>;
@group(1) @binding(3) var<storage, read_write> cache: array<KvWord>;
@group(2) @binding(0) var<storage, read> qkv: array<vec4f>;
@group(2) @binding(1) var<storage, read_write> q: array<vec4f>;

override HEADS: u32;
override EPS: f32;
override QUERY_SCALE: f32;
// false: the input has no query heads and `q` is not written
override WRITE_QUERY: bool;
// false: heads are rotated without a norm, and the norm weights are not read
override QK_NORM: bool;
// the first dims of a head are rotated, these many groups of four; 0: none
override ROTARY_VECS: u32;
// row of `rope` where the table of queries begins
override QUERY_TABLE: u32;

override HALF_VECS: u32 = ROTARY_VECS / 2u;

fn normScale(first: u32) -> f32 {
  var total = 0.0;
  for (var range = 0u; range < RANGES; range++) {
    var sum = 0.0;
    let end = rangeStart(range + 1u, HEAD_VECS);
    for (var d = rangeStart(range, HEAD_VECS); d < end; d++) {
      sum = chain(sum, qkv[first + d], qkv[first + d]);
    }
    total += sum;
  }
  return inverseSqrt(total / f32(HEAD_VECS * 4u) + EPS);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) invocation: vec3u) {
  let queryHeads = select(0u, HEADS, WRITE_QUERY);
  let inputHeads = queryHeads + 2u * KV_HEADS;
  let row = invocation.x / inputHeads;
  if (row >= pass_.rows) {
    return;
  }
  let head = invocation.x % inputHeads;
  let first = invocation.x * HEAD_VECS;
  let slot = slots[row];
  let isQuery = head < queryHeads;
  if (!isQuery && slot == NO_SLOT) {
    return;
  }
  let kvHead = (head - queryHeads) % KV_HEADS;
  let word = keyIndex(slot / BLOCK_SIZE, kvHead, slot % BLOCK_SIZE);
  if (head >= queryHeads + KV_HEADS) {
    for (var d = 0u; d < HEAD_VECS; d++) {
      cache[word + valueHalf() + d] = packKv(qkv[first + d]);
    }
    return;
  }

  var scale = 1.0;
  if (QK_NORM) {
    scale = normScale(first);
  }
  let angle = (positions[row] + select(0u, QUERY_TABLE, isQuery)) * ROTARY_VECS;
  for (var d = 0u; d < HALF_VECS; d++) {
    var x = Pair(qkv[first + d], qkv[first + HALF_VECS + d]);
    if (QK_NORM) {
      if (isQuery) {
        x = normPair(x, scale, Pair(qNorm[d], qNorm[HALF_VECS + d]));
      } else {
        x = normPair(x, scale, Pair(kNorm[d], kNorm[HALF_VECS + d]));
      }
    }
    let turned = rotate(x, rope[angle + 2u * d], rope[angle + 2u * d + 1u]);
    if (isQuery) {
      let place = (row * HEADS + head) * HEAD_VECS + d;
      q[place] = turned.first * QUERY_SCALE;
      q[place + HALF_VECS] = turned.second * QUERY_SCALE;
    } else {
      cache[word + d] = packKv(turned.first);
      cache[word + HALF_VECS + d] = packKv(turned.second);
    }
  }
  for (var d = ROTARY_VECS; d < HEAD_VECS; d++) {
    var x = qkv[first + d];
    if (QK_NORM) {
      x = (x * scale) * select(kNorm[d], qNorm[d], isQuery);
    }
    if (isQuery) {
      q[(row * HEADS + head) * HEAD_VECS + d] = x * QUERY_SCALE;
    } else {
      cache[word + d] = packKv(x);
    }
  }
}
