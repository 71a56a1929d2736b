// sampleThreshold with one invocation per row and no barrier: the same masses in private bins.
@group(0) @binding(0) var<uniform> pass_: Pass;
// [rows]
@group(0) @binding(1) var<storage, read> sampledTable: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<TableRow>;
// [rows][VOCAB_SIZE], the bits of f32
@group(2) @binding(0) var<storage, read> logits: array<u32>;
// [rows]
@group(2) @binding(1) var<storage, read_write> thresholds: array<u32>;

override VOCAB_SIZE: u32;

var<private> highBins: array<u32, 256>;
var<private> lowBins: array<u32, 256>;

// Sums the masses of the tokens whose key is at least `lowest` and starts with `prefix`, by the digit at `shift`.
fn fillBins(base: u32, lowest: u32, prefix: u32, mask: u32, shift: u32, byShare: bool, softmax: Softmax) {
  for (var bin = 0u; bin < 256u; bin++) {
    highBins[bin] = 0u;
    lowBins[bin] = 0u;
  }
  for (var token = 0u; token < VOCAB_SIZE; token++) {
    let bits = logits[base + token];
    let key = logitKey(bits);
    if (key >= lowest && (key & mask) == prefix) {
      let bin = (key >> shift) & 255u;
      if (byShare) {
        let mass = probabilityMass(bits, softmax);
        highBins[bin] += mass.x;
        lowBins[bin] += mass.y;
      } else {
        lowBins[bin] += 1u;
      }
    }
  }
}

fn totalMass() -> vec2u {
  var total = vec2u(0u, 0u);
  for (var bin = 0u; bin < 256u; bin++) {
    total += vec2u(highBins[bin], lowBins[bin]);
  }
  return carried(total);
}

// The greatest key at which the tokens from the top down reach `topK` of them or, where that is 0, a share of `topP`.
fn selectKey(base: u32, lowest: u32, topK: u32, topP: f32, softmax: Softmax) -> u32 {
  var goal = countGoal(topK);
  var above = vec2u(0u, 0u);
  var prefix = 0u;
  var mask = 0u;
  for (var digit = 0u; digit < 4u; digit++) {
    let shift = 24u - 8u * digit;
    fillBins(base, lowest, prefix, mask, shift, topK == 0u, softmax);
    if (topK == 0u && digit == 0u) {
      goal = shareGoal(totalMass(), topP);
    }
    var bin = 255u;
    var next = carried(above + vec2u(highBins[bin], lowBins[bin]));
    while (bin > 0u && !reaches(next, goal)) {
      above = next;
      bin--;
      next = carried(above + vec2u(highBins[bin], lowBins[bin]));
    }
    prefix |= bin << shift;
    mask = (mask >> 8u) | 0xFF000000u;
  }
  return prefix;
}

@compute @workgroup_size(4)
fn main(@builtin(global_invocation_id) invocation: vec3u) {
  let row = invocation.x;
  if (row >= pass_.rows) {
    return;
  }
  let tableRow = sampledTable[row];
  let temperature = table[tableRow].temperature;
  let topK = table[tableRow].topK;
  let topP = table[tableRow].topP;
  let cutsK = topK > 0u && topK < VOCAB_SIZE;
  let cutsP = topP < 1.0f;
  thresholds[row] = 0u;
  if (isGreedy(temperature) || !(cutsK || cutsP)) {
    return;
  }
  let base = row * VOCAB_SIZE;
  var top = 0u;
  for (var token = 0u; token < VOCAB_SIZE; token++) {
    top = max(top, logitKey(logits[base + token]));
  }
  if (top >= POSITIVE_INFINITY_KEY || top <= NEGATIVE_INFINITY_KEY) {
    return;
  }
  let softmax = Softmax(bitcast<f32>(keyLogit(top)), temperature);
  var threshold = 0u;
  if (cutsK) {
    threshold = selectKey(base, threshold, topK, topP, softmax);
  }
  if (cutsP) {
    threshold = selectKey(base, threshold, 0u, topP, softmax);
  }
  thresholds[row] = threshold;
}
