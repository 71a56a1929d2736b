// sampleThreshold with one invocation per row and no barriers. Software drivers execute both sides of a branch, so rare cases are
// kept out of the loops over the vocabulary: after three of them (largest logit, coarse bins, list) the radix select runs over a
// list of the few keys that can be the threshold, or over the whole row where they do not fit the list.
@group(0) @binding(0) var<uniform> pass_: Pass;
// [rows]
@group(0) @binding(1) var<storage, read> sampledTable: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<TableRow>;
// [rows][VOCAB_SIZE], the bits of f32
@group(2) @binding(0) var<storage, read> logits: array<u32>;
// [rows]
@group(2) @binding(1) var<storage, read_write> thresholds: array<u32>;

override VOCAB_SIZE: u32;

const LIST_SIZE: u32 = 1024u;

var<private> highBins: array<u32, 256>;
var<private> lowBins: array<u32, 256>;
var<private> list: array<u32, LIST_SIZE>;

// Where `count` keys are read from: the list or the row.
struct Source {
  listed: bool,
  base: u32,
  count: u32,
}

// One digit of the radix select, and the keys it bins: those of at least `lowest` that start with `prefix`.
struct Digit {
  lowest: u32,
  prefix: u32,
  mask: u32,
  shift: u32,
}

fn keyAt(source: Source, i: u32) -> u32 {
  if (source.listed) {
    return list[i];
  }
  return logitKey(logits[source.base + i]);
}

fn clearBins() {
  for (var bin = 0u; bin < 256u; bin++) {
    highBins[bin] = 0u;
    lowBins[bin] = 0u;
  }
}

fn binMass(bin: u32) -> vec2u {
  return vec2u(highBins[bin], lowBins[bin]);
}

fn addMass(bin: u32, mass: vec2u) {
  highBins[bin] += mass.x;
  lowBins[bin] += mass.y;
}

fn totalMass() -> vec2u {
  var total = vec2u(0u, 0u);
  for (var bin = 0u; bin < 256u; bin++) {
    total += binMass(bin);
  }
  return carried(total);
}

// The distance of a key below the peak, in 255 bins and one for the rest. A smaller key never has a lower bin.
fn coarseBin(key: u32, softmax: Softmax) -> u32 {
  let range = 17.0f * max(softmax.temperature, 1.0f);
  let logit = keyLogit(key);
  let near = key > NEGATIVE_INFINITY_KEY && logit > softmax.peak - range;
  return select(255u, min(255u, u32((softmax.peak - logit) * (255.0f / range))), near);
}

// Lists the keys from the peak down to the end of the coarse bin in which their mass reaches the goal.
fn listKeys(base: u32, goal: vec2u, softmax: Softmax) -> Source {
  var coarse = 0u;
  var mass = carried(binMass(0u));
  while (coarse < 255u && !reaches(mass, goal)) {
    coarse++;
    mass = carried(mass + binMass(coarse));
  }
  var count = 0u;
  for (var token = 0u; token < VOCAB_SIZE; token++) {
    let key = logitKey(logits[base + token]);
    if (coarseBin(key, softmax) <= coarse) {
      list[min(count, LIST_SIZE - 1u)] = key;
      count++;
    }
  }
  if (count > LIST_SIZE) {
    return Source(false, base, VOCAB_SIZE);
  }
  return Source(true, base, count);
}

fn isCandidate(key: u32, digit: Digit) -> bool {
  return key >= digit.lowest && (key & digit.mask) == digit.prefix;
}

// The greatest key of at least `lowest` such that the mass of the keys not below it reaches the goal.
fn selectKey(source: Source, lowest: u32, goal: vec2u, byShare: bool, softmax: Softmax) -> u32 {
  var digit = Digit(lowest, 0u, 0u, 24u);
  var above = vec2u(0u, 0u);
  for (var i = 0u; i < 4u; i++) {
    digit.shift = 24u - 8u * i;
    clearBins();
    // Two loops instead of a branch: these drivers skip a loop that no lane enters.
    for (var j = 0u; j < source.count && !byShare; j++) {
      let key = keyAt(source, j);
      if (isCandidate(key, digit)) {
        addMass((key >> digit.shift) & 255u, vec2u(0u, 1u));
      }
    }
    for (var j = 0u; j < source.count && byShare; j++) {
      let key = keyAt(source, j);
      if (isCandidate(key, digit)) {
        addMass((key >> digit.shift) & 255u, probabilityMass(key, softmax));
      }
    }
    var bin = 255u;
    var next = carried(above + binMass(bin));
    while (bin > 0u && !reaches(next, goal)) {
      above = next;
      bin--;
      next = carried(above + binMass(bin));
    }
    digit.prefix |= bin << digit.shift;
    digit.mask = (digit.mask >> 8u) | 0xFF000000u;
  }
  return digit.prefix;
}

// Mass of the keys of at least `lowest`.
fn shareFrom(source: Source, lowest: u32, softmax: Softmax) -> vec2u {
  var total = vec2u(0u, 0u);
  for (var i = 0u; i < source.count; i++) {
    let key = keyAt(source, i);
    if (key >= lowest) {
      total += probabilityMass(key, softmax);
    }
  }
  return carried(total);
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
  let margin = table[tableRow].minPMargin;
  let cutsM = margin >= 0.0f;
  thresholds[row] = 0u;
  if (isGreedy(temperature) || !(cutsK || cutsP || cutsM)) {
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
  let softmax = Softmax(keyLogit(top), temperature);
  var threshold = marginKey(softmax, margin);
  if (!(cutsK || cutsP)) {
    thresholds[row] = threshold;
    return;
  }
  clearBins();
  for (var token = 0u; token < VOCAB_SIZE && cutsK; token++) {
    addMass(coarseBin(logitKey(logits[base + token]), softmax), vec2u(0u, 1u));
  }
  for (var token = 0u; token < VOCAB_SIZE && !cutsK; token++) {
    let key = logitKey(logits[base + token]);
    addMass(coarseBin(key, softmax), select(vec2u(0u, 0u), probabilityMass(key, softmax), key >= threshold));
  }
  var goal = countGoal(topK);
  if (!cutsK) {
    goal = shareGoal(totalMass(), topP);
  }
  let source = listKeys(base, goal, softmax);
  if (cutsK) {
    threshold = max(threshold, selectKey(source, 0u, goal, false, softmax));
    goal = shareGoal(shareFrom(source, threshold, softmax), topP);
  }
  if (cutsP) {
    threshold = selectKey(source, threshold, goal, true, softmax);
  }
  thresholds[row] = threshold;
}
