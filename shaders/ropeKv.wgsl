// QK-norm where the model has it, RoPE, and the write of K and V to the cache. 16 lanes share a head, one per range of the
// norm's sum; a workgroup computes 4 heads of one row. Input rows are [query heads | key heads | value heads].
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
const HEADS_PER_GROUP: u32 = 4u;

var<workgroup> sums: array<f32, HEADS_PER_GROUP * RANGES>;

@compute @workgroup_size(RANGES, HEADS_PER_GROUP)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let row = workgroup.y;
  if (row >= pass_.rows) {
    return;
  }
  let queryHeads = select(0u, HEADS, WRITE_QUERY);
  let inputHeads = queryHeads + 2u * KV_HEADS;
  let head = workgroup.x * HEADS_PER_GROUP + local.y;
  let lane = local.x;
  let first = (row * inputHeads + head) * HEAD_VECS;

  // Lanes without a head, in a row's last workgroup, only reach the barrier.
  if (QK_NORM) {
    var sum = 0.0;
    if (head < queryHeads + KV_HEADS) {
      let end = rangeStart(lane + 1u, HEAD_VECS);
      for (var d = rangeStart(lane, HEAD_VECS); d < end; d++) {
        sum = chain(sum, qkv[first + d], qkv[first + d]);
      }
    }
    sums[local.y * RANGES + lane] = sum;
    workgroupBarrier();
  }

  let slot = slots[row];
  let isQuery = head < queryHeads;
  if (head >= inputHeads || (!isQuery && slot == NO_SLOT)) {
    return;
  }
  let kvHead = (head - queryHeads) % KV_HEADS;
  let word = keyIndex(slot / BLOCK_SIZE, kvHead, slot % BLOCK_SIZE);
  if (head >= queryHeads + KV_HEADS) {
    for (var d = lane; d < HEAD_VECS; d += RANGES) {
      cache[word + valueHalf() + d] = packKv(qkv[first + d]);
    }
    return;
  }

  var scale = 1.0;
  if (QK_NORM) {
    var total = 0.0;
    for (var range = 0u; range < RANGES; range++) {
      total += sums[local.y * RANGES + range];
    }
    scale = inverseSqrt(total / f32(HEAD_VECS * 4u) + EPS);
  }
  let angle = (positions[row] + select(0u, QUERY_TABLE, isQuery)) * ROTARY_VECS;
  for (var d = lane; d < HALF_VECS; d += RANGES) {
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
  for (var d = ROTARY_VECS + lane; d < HEAD_VECS; d += RANGES) {
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
