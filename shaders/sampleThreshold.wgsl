// The smallest logit that min-p, top-k and then top-p keep, as a key (lib/logitKey.wgsl); 0 where nothing is cut. All tokens that
// tie with it are kept. Top-p is a share of what min-p and top-k kept. One workgroup per row: a radix select over the keys, from
// the highest 8 bits down, on integer masses (lib/mass.wgsl), so that lanes may add in any order.
@group(0) @binding(0) var<uniform> pass_: Pass;
// [rows]
@group(0) @binding(1) var<storage, read> sampledTable: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<TableRow>;
// [rows][VOCAB_SIZE], the bits of f32
@group(2) @binding(0) var<storage, read> logits: array<u32>;
// [rows]
@group(2) @binding(1) var<storage, read_write> thresholds: array<u32>;

override VOCAB_SIZE: u32;

struct Search {
  // mass of the keys greater than any with the prefix
  above: vec2u,
  goal: vec2u,
  prefix: u32,
}

var<workgroup> highBins: array<atomic<u32>, 256>;
var<workgroup> lowBins: array<atomic<u32>, 256>;
var<workgroup> search: Search;
var<workgroup> peakBin: atomic<u32>;
var<workgroup> peakKey: u32;

// Builds the histogram of the row's masses by digit. Consecutive tokens of the same bin are summed in registers before an
// atomic add: nearly all tokens share the first digit.
fn fillBins(lane: u32, base: u32, lowest: u32, prefix: u32, mask: u32, shift: u32, byShare: bool, softmax: Softmax) {
  var runBin = 0u;
  var run = vec2u(0u, 0u);
  for (var token = lane; token < VOCAB_SIZE; token += 256u) {
    let key = logitKey(logits[base + token]);
    if (key >= lowest && (key & mask) == prefix) {
      let bin = (key >> shift) & 255u;
      if (bin != runBin) {
        flush(runBin, run);
        runBin = bin;
        run = vec2u(0u, 0u);
      }
      if (byShare) {
        run += probabilityMass(key, softmax);
      } else {
        run.y += 1u;
      }
    }
  }
  flush(runBin, run);
}

fn flush(bin: u32, mass: vec2u) {
  if (mass.x != 0u) {
    atomicAdd(&highBins[bin], mass.x);
  }
  if (mass.y != 0u) {
    atomicAdd(&lowBins[bin], mass.y);
  }
}

fn massOf(bin: u32) -> vec2u {
  return vec2u(atomicLoad(&highBins[bin]), atomicLoad(&lowBins[bin]));
}

fn totalMass() -> vec2u {
  var total = vec2u(0u, 0u);
  for (var bin = 0u; bin < 256u; bin++) {
    total += massOf(bin);
  }
  return carried(total);
}

// Finds the digit at which the masses, summed from the greatest key down, reach the goal. Called by one lane.
fn descend(shift: u32) {
  var above = search.above;
  var bin = 255u;
  var next = carried(above + massOf(bin));
  while (bin > 0u && !reaches(next, search.goal)) {
    above = next;
    bin--;
    next = carried(above + massOf(bin));
  }
  search.above = above;
  search.prefix |= bin << shift;
}

// The greatest key such that the tokens with that key or a greater one number `topK` or, where topK is 0, have the share `topP`.
fn selectKey(lane: u32, base: u32, lowest: u32, topK: u32, topP: f32, softmax: Softmax) -> u32 {
  if (lane == 0u) {
    search = Search(vec2u(0u, 0u), countGoal(topK), 0u);
  }
  var prefix = 0u;
  var mask = 0u;
  for (var digit = 0u; digit < 4u; digit++) {
    let shift = 24u - 8u * digit;
    atomicStore(&highBins[lane], 0u);
    atomicStore(&lowBins[lane], 0u);
    workgroupBarrier();
    fillBins(lane, base, lowest, prefix, mask, shift, topK == 0u, softmax);
    workgroupBarrier();
    if (lane == 0u) {
      if (topK == 0u && digit == 0u) {
        search.goal = shareGoal(totalMass(), topP);
      }
      descend(shift);
    }
    prefix = workgroupUniformLoad(&search.prefix);
    mask = (mask >> 8u) | 0xFF000000u;
  }
  return prefix;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.x;
  if (row >= pass_.rows) {
    return;
  }
  let tableRow = sampledTable[row];
  let temperature = table[tableRow].temperature;
  let topK = table[tableRow].topK;
  let topP = table[tableRow].topP;
  let cutsK = topK > 0u && topK < VOCAB_SIZE;
  let cutsP = topP < 1.0f;
  let margin = table[tableRow].minPMargin;
  let cutsM = margin >= 0.0f;
  if (isGreedy(temperature) || !(cutsK || cutsP || cutsM)) {
    if (lane == 0u) {
      thresholds[row] = 0u;
    }
    return;
  }
  let base = row * VOCAB_SIZE;
  var laneKey = 0u;
  for (var token = lane; token < VOCAB_SIZE; token += 256u) {
    laneKey = max(laneKey, logitKey(logits[base + token]));
  }
  atomicMax(&peakBin, laneKey);
  workgroupBarrier();
  if (lane == 0u) {
    peakKey = atomicLoad(&peakBin);
  }
  let top = workgroupUniformLoad(&peakKey);
  if (top >= POSITIVE_INFINITY_KEY || top <= NEGATIVE_INFINITY_KEY) {
    if (lane == 0u) {
      thresholds[row] = 0u;
    }
    return;
  }
  let softmax = Softmax(keyLogit(top), temperature);
  var threshold = marginKey(softmax, margin);
  if (cutsK) {
    threshold = max(threshold, selectKey(lane, base, 0u, topK, topP, softmax));
  }
  if (cutsP) {
    threshold = selectKey(lane, base, threshold, 0u, topP, softmax);
  }
  if (lane == 0u) {
    thresholds[row] = threshold;
  }
}
