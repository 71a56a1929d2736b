// y = x W^T + bias, one workgroup per 8 columns and 8 rows: lane (range, column) sums its range of K for all rows; the range
// sums are then added in order through workgroup memory, four rows at a time to keep that memory small, because software
// drivers zero it word by word. Columns past N are computed like others and not written.
const COLUMNS: u32 = 8u;
const ROWS: u32 = 8u;

override K: u32;
override N: u32;
override FIRST_COLUMN: u32;
override OUT_STRIDE: u32;
override OUT_OFFSET: u32;
override RESIDUAL: bool;
override SCALE: f32;
// 0: none
override SOFTCAP: f32;
override GATHER: bool;
override BIAS: bool;
override BIAS_OFFSET: u32;

@group(0) @binding(0) var<uniform> pass_: Pass;
@group(0) @binding(1) var<storage, read> rowIndex: array<u32>; // [rows]
@group(1) @binding(0) var<storage, read> weight: array<WeightWord>;
@group(1) @binding(1) var<storage, read> scales: array<u32>;
@group(1) @binding(2) var<storage, read> bias: array<f32>; // from BIAS_OFFSET
@group(2) @binding(0) var<storage, read> x: array<vec4f>; // [*][K/4]
@group(2) @binding(1) var<storage, read_write> y: array<f32>; // [rows][OUT_STRIDE], from OUT_OFFSET

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
  let words = columnStart(FIRST_COLUMN + column);
  let scaleWords = scaleStart(FIRST_COLUMN + column);
  let upperStarts = inputStarts(row);
  let lowerStarts = inputStarts(row + 4u);
  var upper = vec4f();
  var lower = vec4f();
  for (var group = rangeStart(range, K / 4u); group < end; group++) {
    let word = weightAt(words, scaleWords, group);
    upper = chain4(upper, fourInputs(upperStarts, group), word);
    if (hasLower) {
      lower = chain4(lower, fourInputs(lowerStarts, group), word);
    }
  }
  store(row, column, lane, fold(upper, lane));
  if (hasLower) {
    store(row + 4u, column, lane, fold(lower, lane));
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

fn store(firstRow: u32, column: u32, lane: u32, sum: f32) {
  let row = firstRow + lane / COLUMNS;
  if (lane < 4u * COLUMNS && row < pass_.rows && column < N) {
    let at = row * OUT_STRIDE + OUT_OFFSET + column;
    var total = sum;
    if (BIAS) {
      total += bias[BIAS_OFFSET + column];
    }
    if (SCALE != 1.0) {
      total *= SCALE;
    }
    if (SOFTCAP > 0.0) {
      total = softcap(total, SOFTCAP);
    }
    if (RESIDUAL) {
      total = y[at] + total;
    }
    y[at] = total;
  }
}

// Four weights of the column whose words and scales start there.
fn weightAt(words: u32, scaleWords: u32, group: u32) -> vec4f {
  let codes = codesOf(weight[wordIndex(words, group)], group);
  if (!SCALED) {
    return codes;
  }
  let at = scaleIndices(scaleWords, group);
  return dequantise(codes, scaleOf(vec2u(scales[at.x], scales[at.y]), group));
}

// Where the inputs of four rows start in x. Rows past the last one read the last row.
fn inputStarts(row: u32) -> vec4u {
  var rows = min(vec4u(row, row + 1u, row + 2u, row + 3u), vec4u(pass_.rows - 1u));
  if (GATHER) {
    rows = vec4u(rowIndex[rows.x], rowIndex[rows.y], rowIndex[rows.z], rowIndex[rows.w]);
  }
  return rows * (K / 4u);
}

// Column i holds the i-th elements of a group in four rows.
fn fourInputs(starts: vec4u, group: u32) -> mat4x4f {
  return transpose(mat4x4f(x[starts.x + group], x[starts.y + group], x[starts.z + group], x[starts.w + group]));
}
