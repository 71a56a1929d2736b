// Ragged attention over the paged KV cache. A workgroup computes one item (some rows of one request over some splits of keys) for
// one KV head. The query heads of that KV head are packed with the rows, so that a key is read once for all of them; an item of
// more than PACKED_ROWS packed rows is divided among workgroups along z. K and V are staged in workgroup memory, STAGE_KEYS at a
// time. A lane owns one or more (packed row, group of four dims) and computes their sums alone; scores are distributed over
// (packed row, key). Order of sums: ORDER.md. Work lists after FlashInfer's plan, packing after vLLM's kernel.
@group(0) @binding(0) var<uniform> pass_: Pass;
@group(0) @binding(1) var<storage, read> items: array<Item>;
@group(0) @binding(2) var<storage, read> positions: array<u32>;
@group(0) @binding(3) var<storage, read> tableRows: array<u32>;
@group(0) @binding(4) var<storage, read> blockTable: array<u32>;
@group(1) @binding(0) var<storage, read> cache: array<KvWord>;
@group(2) @binding(0) var<storage, read> q: array<vec4f>;
@group(2) @binding(1) var<storage, read_write> out: array<vec4f>;
@group(2) @binding(2) var<storage, read_write> partials: array<vec4f>;

struct Item {
  firstRow: u32,
  rowCount: u32,
  firstSplit: u32,
  splitCount: u32,
  // NO_PART: the item folds its splits and writes `out`; otherwise it has one split, whose row i writes partial firstPart + i
  firstPart: u32,
}

override HEADS: u32;
override MAX_BLOCKS: u32;
// packed rows, (row, query head of the KV head), of a workgroup at most
override PACKED_ROWS: u32;
// divides KEY_TILE
override STAGE_KEYS: u32;

const LANES: u32 = 256u;

var<workgroup> query: array<vec4f, PACKED_ROWS * HEAD_VECS>;
var<workgroup> stage: array<KvWord, STAGE_KEYS * HEAD_VECS>;
var<workgroup> scores: array<f32, PACKED_ROWS * KEY_TILE>;
var<workgroup> weights: array<f32, PACKED_ROWS * KEY_TILE>;

// Each key's dims are rotated by the key, so that lanes reading the same dim of different keys have no bank conflicts.
fn stageIndex(key: u32, d: u32) -> u32 {
  return key * HEAD_VECS + (d + key) % HEAD_VECS;
}

// Stages keys [first, first + STAGE_KEYS) of `half` (0: K, valueHalf(): V). Keys from `end` on are not loaded.
fn load(lane: u32, first: u32, end: u32, blocks: u32, kvHead: u32, half: u32) {
  for (var i = lane; i < STAGE_KEYS * HEAD_VECS; i += LANES) {
    let slot = i / HEAD_VECS;
    let key = first + slot;
    if (key < end) {
      let word = keyIndex(blockTable[blocks + key / BLOCK_SIZE], kvHead, key % BLOCK_SIZE) + half;
      stage[stageIndex(slot, i % HEAD_VECS)] = cache[word + i % HEAD_VECS];
    }
  }
}

fn score(packedRow: u32, slot: u32) -> f32 {
  var result = 0.0;
  for (var range = 0u; range < SCORE_RANGES; range++) {
    var sum = 0.0;
    let end = scoreRange(range + 1u);
    for (var d = scoreRange(range); d < end; d++) {
      sum = chain(sum, query[packedRow * HEAD_VECS + d], unpackKv(stage[stageIndex(slot, d)]));
    }
    result += sum;
  }
  return result;
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) lane: u32) {
  if (workgroup.x >= pass_.items) {
    return;
  }
  let item = items[workgroup.x];
  let kvHead = workgroup.y;
  let group = HEADS / KV_HEADS;
  let firstPacked = workgroup.z * PACKED_ROWS;
  if (firstPacked >= item.rowCount * group) {
    return;
  }
  let packedRows = min(PACKED_ROWS, item.rowCount * group - firstPacked);
  let blocks = tableRows[item.firstRow] * MAX_BLOCKS;
  // The last row attends to the most keys. Its position is exact here; the plan has an upper bound only.
  let keys = positions[item.firstRow + item.rowCount - 1u] + 1u;
  // The first row's window begins first. What is before is skipped in whole tiles, and splits that leave no partials.
  let begin = firstVisible(positions[item.firstRow] + 1u);

  // for each (packed row, dims) that the lane owns: its index, its offset in q and out, and how many keys its row attends to
  var owned = array<u32, LANE_VECS>();
  var place = array<u32, LANE_VECS>();
  var sees = array<u32, LANE_VECS>();
  for (var j = 0u; j < LANE_VECS; j++) {
    owned[j] = lane + j * LANES;
    if (owned[j] < packedRows * HEAD_VECS) {
      let packedRow = firstPacked + owned[j] / HEAD_VECS;
      let row = item.firstRow + packedRow / group;
      place[j] = (row * HEADS + kvHead * group + packedRow % group) * HEAD_VECS + owned[j] % HEAD_VECS;
      sees[j] = positions[row] + 1u;
      query[owned[j]] = q[place[j]];
    }
  }

  var foldM = array<f32, LANE_VECS>();
  var foldL = array<f32, LANE_VECS>();
  var foldO = array<vec4f, LANE_VECS>();
  for (var j = 0u; j < LANE_VECS; j++) {
    foldM[j] = NO_SCORE;
  }
  let inSequence = item.firstPart == NO_PART;
  let planned = item.firstSplit + item.splitCount;
  let lastSplit = select(planned, min(planned, (keys + SPLIT_KEYS - 1u) / SPLIT_KEYS), inSequence);
  let firstSplit = select(item.firstSplit, max(item.firstSplit, begin / SPLIT_KEYS), inSequence);
  for (var split = firstSplit; split < lastSplit; split++) {
    var m = array<f32, LANE_VECS>();
    var l = array<f32, LANE_VECS>();
    var o = array<vec4f, LANE_VECS>();
    for (var j = 0u; j < LANE_VECS; j++) {
      m[j] = NO_SCORE;
    }
    let splitEnd = min((split + 1u) * SPLIT_KEYS, keys);

    for (var tile = max(split * SPLIT_KEYS, begin / KEY_TILE * KEY_TILE); tile < splitEnd; tile += KEY_TILE) {
      for (var part = 0u; part < KEY_TILE; part += STAGE_KEYS) {
        load(lane, tile + part, splitEnd, blocks, kvHead, 0u);
        workgroupBarrier();
        for (var i = lane; i < packedRows * STAGE_KEYS; i += LANES) {
          let packedRow = i / STAGE_KEYS;
          let slot = i % STAGE_KEYS;
          scores[packedRow * KEY_TILE + part + slot] = capped(score(packedRow, slot));
        }
        workgroupBarrier();
      }

      // Scores of keys that a row does not attend to are never read.
      for (var j = 0u; j < LANE_VECS; j++) {
        if (owned[j] < packedRows * HEAD_VECS && sees[j] > tile) {
          let first = owned[j] / HEAD_VECS * KEY_TILE;
          let hidden = max(firstVisible(sees[j]), tile) - tile;
          let visible = min(sees[j] - tile, KEY_TILE);
          var tileM = m[j];
          for (var key = hidden; key < visible; key++) {
            tileM = max(tileM, scores[first + key]);
          }
          let c = rescale(m[j], tileM);
          m[j] = tileM;
          l[j] *= c;
          o[j] *= c;
          for (var key = hidden + owned[j] % HEAD_VECS; key < visible; key += HEAD_VECS) {
            weights[first + key] = exp(scores[first + key] - tileM);
          }
        }
      }

      for (var part = 0u; part < KEY_TILE; part += STAGE_KEYS) {
        load(lane, tile + part, splitEnd, blocks, kvHead, valueHalf());
        workgroupBarrier();
        for (var j = 0u; j < LANE_VECS; j++) {
          if (owned[j] < packedRows * HEAD_VECS && sees[j] > tile + part) {
            let first = owned[j] / HEAD_VECS * KEY_TILE + part;
            let hidden = max(firstVisible(sees[j]), tile + part) - tile - part;
            let visible = min(sees[j] - tile - part, STAGE_KEYS);
            for (var slot = hidden; slot < visible; slot++) {
              let p = weights[first + slot];
              l[j] += p;
              o[j] = fma(vec4f(p), unpackKv(stage[stageIndex(slot, owned[j] % HEAD_VECS)]), o[j]);
            }
          }
        }
        workgroupBarrier();
      }
    }

    for (var j = 0u; j < LANE_VECS; j++) {
      if (!inSequence) {
        if (owned[j] < packedRows * HEAD_VECS) {
          let packedRow = firstPacked + owned[j] / HEAD_VECS;
          let part = item.firstPart + packedRow / group;
          let word = (part * HEADS + kvHead * group + packedRow % group) * (HEAD_VECS + 1u);
          partials[word + 1u + owned[j] % HEAD_VECS] = o[j];
          if (owned[j] % HEAD_VECS == 0u) {
            partials[word] = vec4f(m[j], l[j], 0.0, 0.0);
          }
        }
      } else {
        let newM = max(foldM[j], m[j]);
        let a = rescale(foldM[j], newM);
        let b = rescale(m[j], newM);
        foldM[j] = newM;
        foldL[j] = fma(foldL[j], a, l[j] * b);
        foldO[j] = fma(foldO[j], vec4f(a), o[j] * b);
      }
    }
  }
  for (var j = 0u; j < LANE_VECS; j++) {
    if (inSequence && owned[j] < packedRows * HEAD_VECS) {
      out[place[j]] = foldO[j] / foldL[j];
    }
  }
}
