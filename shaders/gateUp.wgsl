// y = activation(x G^T) * (x U^T), one workgroup per 8 columns and 8 rows: lane (range, column) sums its range of K for all rows and
// both matrices; the range sums are then added in order through workgroup memory, four rows at a time as in `linear`.
// Columns past N are computed like others and not written.
const COLUMNS: u32 = 8u;
const ROWS: u32 = 8u;

override K: u32;
override N: u32;

@group(0) @binding(0) var<uniform> pass_: Pass;
@group(1) @binding(0) var<storage, read> gate: array<WeightWord>;
@group(1) @binding(1) var<storage, read> gateScales: array<u32>;
@group(1) @binding(2) var<storage, read> up: array<WeightWord>;
@group(1) @binding(3) var<storage, read> upScales: array<u32>;
@group(2) @binding(0) var<storage, read> x: array<vec4f>; // [rows][K/4]
@group(2) @binding(1) var<storage, read_write> y: array<f32>; // [rows][N]

var<workgroup> sums: array<vec4f, RANGES * COLUMNS>; // [range][column] of four rows

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) tile: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = tile.y * ROWS;
  if (row >= pass_.rows) {
    return;
  }
  let range = lane / COLUMNS;
  let column = tile.x * COLUMNS + lane % COLUMNS;
  let end = rangeStart(range + 1u, K / 4u);
  let hasLower = row + 4u < pass_.rows;
  let words = columnStart(column);
  let scaleWords = scaleStart(column);
  var upperGate = vec4f();
  var upperUp = vec4f();
  var lowerGate = vec4f();
  var lowerUp = vec4f();
  for (var group = rangeStart(range, K / 4u); group < end; group++) {
    let gateWord = gateAt(words, scaleWords, group);
    let upWord = upAt(words, scaleWords, group);
    let upper = fourInputs(row, group);
    upperGate = chain4(upperGate, upper, gateWord);
    upperUp = chain4(upperUp, upper, upWord);
    if (hasLower) {
      let lower = fourInputs(row + 4u, group);
      lowerGate = chain4(lowerGate, lower, gateWord);
      lowerUp = chain4(lowerUp, lower, upWord);
    }
  }
  store(row, column, lane, fold(upperGate, lane), fold(upperUp, lane));
  if (hasLower) {
    store(row + 4u, column, lane, fold(lowerGate, lane), fold(lowerUp, lane));
  }
}

// Adds the range sums of four rows left to right; for i < 4, lane (i, column) returns the sum of row i. Contains barriers: every
// lane of the workgroup must call it.
fn fold(laneSums: vec4f, lane: u32) -> f32 {
  sums[lane] = laneSums;
  workgroupBarrier();
  var sum = 0.0;
  if (lane < 4u * COLUMNS) {
    for (var range = 0u; range < RANGES; range++) {
      sum += sums[range * COLUMNS + lane % COLUMNS][lane / COLUMNS];
    }
  }
  workgroupBarrier();
  return sum;
}

fn store(firstRow: u32, column: u32, lane: u32, gateSum: f32, upSum: f32) {
  let row = firstRow + lane / COLUMNS;
  if (lane < 4u * COLUMNS && row < pass_.rows && column < N) {
    y[row * N + column] = activate(gateSum, upSum);
  }
}

// Four weights of the column whose words and scales start there.
fn gateAt(words: u32, scaleWords: u32, group: u32) -> vec4f {
  let codes = codesOf(gate[wordIndex(words, group)], group);
  if (!SCALED) {
    return codes;
  }
  let at = scaleIndices(scaleWords, group);
  return dequantise(codes, scaleOf(vec2u(gateScales[at.x], gateScales[at.y]), group));
}

fn upAt(words: u32, scaleWords: u32, group: u32) -> vec4f {
  let codes = codesOf(up[wordIndex(words, group)], group);
  if (!SCALED) {
    return codes;
  }
  let at = scaleIndices(scaleWords, group);
  return dequantise(codes, scaleOf(vec2u(upScales[at.x], upScales[at.y]), group));
}

// Column i holds the i-th elements of a group in four rows. Rows past the last one read the last row.
fn fourInputs(row: u32, group: u32) -> mat4x4f {
  let rows = min(vec4u(row, row + 1u, row + 2u, row + 3u), vec4u(pass_.rows - 1u));
  let at = rows * (K / 4u) + group;
  return transpose(mat4x4f(x[at.x], x[at.y], x[at.z], x[at.w]));
}
