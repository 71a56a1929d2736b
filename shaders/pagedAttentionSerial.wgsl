// Attention over the paged KV cache without barriers: one invocation computes a row for two query heads of one KV head, so that a
// key is loaded and unpacked once for both. It folds all splits itself and needs neither work list nor merge. Keys are processed
// in fours to save private memory traffic. Neighbouring invocations share a KV head. Order of sums: ORDER.md.
@group(0) @binding(0) var<uniform> pass_: Pass;
@group(0) @binding(1) var<storage, read> positions: array<u32>;
@group(0) @binding(2) var<storage, read> tableRows: array<u32>;
@group(0) @binding(3) var<storage, read> blockTable: array<u32>;
@group(1) @binding(0) var<storage, read> cache: array<KvWord>;
@group(2) @binding(0) var<storage, read> q: array<vec4f>;
@group(2) @binding(1) var<storage, read_write> out: array<vec4f>;

override HEADS: u32;
override MAX_BLOCKS: u32;

// groups of four keys in a tile
const QUADS: u32 = KEY_TILE / 4u;

// Adds the products of one group of four dims of q with four keys to their scores.
fn scoreQuad(acc: vec4f, x: vec4f, keys: mat4x4f) -> vec4f {
  return vec4f(chain(acc.x, x, keys[0]), chain(acc.y, x, keys[1]), chain(acc.z, x, keys[2]), chain(acc.w, x, keys[3]));
}

// Adds four weighted values in ascending order; one that is not visible is skipped, whatever its slot contains.
fn addQuad(acc: vec4f, p: vec4f, values: mat4x4f, visible: vec4<bool>) -> vec4f {
  var sum = select(acc, fma(vec4f(p.x), values[0], acc), visible.x);
  sum = select(sum, fma(vec4f(p.y), values[1], sum), visible.y);
  sum = select(sum, fma(vec4f(p.z), values[2], sum), visible.z);
  return select(sum, fma(vec4f(p.w), values[3], sum), visible.w);
}

// Loads one group of four dims of four consecutive slots of a block.
fn loadQuad(word: u32) -> mat4x4f {
  return mat4x4f(
    unpackKv(cache[word]),
    unpackKv(cache[word + HEAD_VECS]),
    unpackKv(cache[word + 2u * HEAD_VECS]),
    unpackKv(cache[word + 3u * HEAD_VECS]),
  );
}

fn cappedQuad(scores: vec4f) -> vec4f {
  return vec4f(capped(scores.x), capped(scores.y), capped(scores.z), capped(scores.w));
}

// Which of four consecutive keys from `key` on are within [begin, end).
fn within(key: u32, begin: u32, end: u32) -> vec4<bool> {
  let keys = vec4u(key) + vec4u(0u, 1u, 2u, 3u);
  return (keys >= vec4u(begin)) & (keys < vec4u(end));
}

fn largest(quad: vec4f) -> f32 {
  return max(max(quad.x, quad.y), max(quad.z, quad.w));
}

@compute @workgroup_size(16)
fn main(@builtin(global_invocation_id) invocation: vec3u) {
  let kvHead = invocation.y;
  let group = HEADS / KV_HEADS;
  let pairs = (group + 1u) / 2u;
  let row = invocation.x / pairs;
  if (row >= pass_.rows) {
    return;
  }
  // With an odd number of heads, the last pair is the same head twice.
  let member = invocation.x % pairs * 2u;
  let firstHead = row * HEADS + kvHead * group;
  let head0 = (firstHead + member) * HEAD_VECS;
  let head1 = (firstHead + min(member + 1u, group - 1u)) * HEAD_VECS;
  let keys = positions[row] + 1u;
  // What is before the window is skipped in whole splits, tiles and quads.
  let begin = firstVisible(keys);
  let blocks = tableRows[row] * MAX_BLOCKS;

  // Equals HEAD_VECS, but is not a constant to the compiler: Mesa would unroll every loop over it, which takes a minute.
  let vecs = min(HEAD_VECS, arrayLength(&q));

  var query0 = array<vec4f, HEAD_VECS>();
  var query1 = array<vec4f, HEAD_VECS>();
  for (var d = 0u; d < vecs; d++) {
    query0[d] = q[head0 + d];
    query1[d] = q[head1 + d];
  }
  // the state folded over splits; x and y are the two heads
  var foldM = vec2f(NO_SCORE);
  var foldL = vec2f();
  var fold0 = array<vec4f, HEAD_VECS>();
  var fold1 = array<vec4f, HEAD_VECS>();

  for (var split = begin / SPLIT_KEYS * SPLIT_KEYS; split < keys; split += SPLIT_KEYS) {
    var m = vec2f(NO_SCORE);
    var l = vec2f();
    var o0 = array<vec4f, HEAD_VECS>();
    var o1 = array<vec4f, HEAD_VECS>();
    let splitEnd = min(split + SPLIT_KEYS, keys);

    for (var tile = max(split, begin / KEY_TILE * KEY_TILE); tile < splitEnd; tile += KEY_TILE) {
      let firstQuad = (max(begin, tile) - tile) / 4u;
      let quads = (min(KEY_TILE, splitEnd - tile) + 3u) / 4u;
      var scores0 = array<vec4f, QUADS>();
      var scores1 = array<vec4f, QUADS>();
      var tileM = m;
      for (var quad = firstQuad; quad < quads; quad++) {
        let key = tile + quad * 4u;
        let word = keyIndex(blockTable[blocks + key / BLOCK_SIZE], kvHead, key % BLOCK_SIZE);
        var score0 = vec4f();
        var score1 = vec4f();
        for (var range = 0u; range < SCORE_RANGES; range++) {
          var sum0 = vec4f();
          var sum1 = vec4f();
          let end = min(scoreRange(range + 1u), vecs);
          for (var d = scoreRange(range); d < end; d++) {
            let loaded = loadQuad(word + d);
            sum0 = scoreQuad(sum0, query0[d], loaded);
            sum1 = scoreQuad(sum1, query1[d], loaded);
          }
          score0 += sum0;
          score1 += sum1;
        }
        let visible = within(key, begin, keys);
        scores0[quad] = select(vec4f(NO_SCORE), cappedQuad(score0), visible);
        scores1[quad] = select(vec4f(NO_SCORE), cappedQuad(score1), visible);
        tileM = max(tileM, vec2f(largest(scores0[quad]), largest(scores1[quad])));
      }

      let c = vec2f(rescale(m.x, tileM.x), rescale(m.y, tileM.y));
      m = tileM;
      l *= c;
      for (var d = 0u; d < vecs; d++) {
        o0[d] *= c.x;
        o1[d] *= c.y;
      }
      for (var quad = firstQuad; quad < quads; quad++) {
        let key = tile + quad * 4u;
        let word = keyIndex(blockTable[blocks + key / BLOCK_SIZE], kvHead, key % BLOCK_SIZE) + valueHalf();
        let visible = within(key, begin, keys);
        let p0 = exp(scores0[quad] - m.x);
        let p1 = exp(scores1[quad] - m.y);
        l = select(l, l + vec2f(p0.x, p1.x), visible.x);
        l = select(l, l + vec2f(p0.y, p1.y), visible.y);
        l = select(l, l + vec2f(p0.z, p1.z), visible.z);
        l = select(l, l + vec2f(p0.w, p1.w), visible.w);
        for (var d = 0u; d < vecs; d++) {
          let loaded = loadQuad(word + d);
          o0[d] = addQuad(o0[d], p0, loaded, visible);
          o1[d] = addQuad(o1[d], p1, loaded, visible);
        }
      }
    }

    let newM = max(foldM, m);
    let a = vec2f(rescale(foldM.x, newM.x), rescale(foldM.y, newM.y));
    let b = vec2f(rescale(m.x, newM.x), rescale(m.y, newM.y));
    foldM = newM;
    foldL = fma(foldL, a, l * b);
    for (var d = 0u; d < vecs; d++) {
      fold0[d] = fma(fold0[d], vec4f(a.x), o0[d] * b.x);
      fold1[d] = fma(fold1[d], vec4f(a.y), o1[d] * b.y);
    }
  }
  for (var d = 0u; d < vecs; d++) {
    out[head0 + d] = fold0[d] / foldL.x;
    out[head1 + d] = fold1[d] / foldL.y;
  }
}
