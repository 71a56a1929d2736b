// y = x W^T + bias, one invocation per 8 columns and up to 4 rows, no barriers. On a CPU loads dominate, so a tile of 4 by 8 sums
// shares them; there are separate paths for one row and two (a single request without and with a draft). A larger tile is
// slightly faster and compiles much slower. Columns past N are computed like others and not written.
const COLUMNS: u32 = 8u;
const ROWS: u32 = 4u;

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

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let column = id.x * COLUMNS;
  let row = id.y * ROWS;
  if (column >= N || row >= pass_.rows) {
    return;
  }
  if (row + 2u < pass_.rows) {
    fourRows(row, column);
  } else if (row + 1u < pass_.rows) {
    twoRows(row, column);
  } else {
    oneRow(row, column);
  }
}

fn oneRow(row: u32, column: u32) {
  let leftStarts = columnStarts(column);
  let rightStarts = columnStarts(column + 4u);
  let input = inputStart(row);
  var left = vec4f();
  var right = vec4f();
  for (var range = 0u; range < RANGES; range++) {
    var leftSum = vec4f();
    var rightSum = vec4f();
    let end = rangeStart(range + 1u, K / 4u);
    for (var group = rangeStart(range, K / 4u); group < end; group++) {
      let value = x[input + group];
      leftSum = chain4(leftSum, fourColumns(leftStarts, group), value);
      rightSum = chain4(rightSum, fourColumns(rightStarts, group), value);
    }
    left += leftSum;
    right += rightSum;
  }
  for (var i = 0u; i < 4u; i++) {
    store(row, column + i, left[i]);
    store(row, column + 4u + i, right[i]);
  }
}

fn twoRows(row: u32, column: u32) {
  let leftStarts = columnStarts(column);
  let rightStarts = columnStarts(column + 4u);
  let first = inputStart(row);
  let second = inputStart(row + 1u);
  var left = mat2x4f();
  var right = mat2x4f();
  for (var range = 0u; range < RANGES; range++) {
    var leftSum = mat2x4f();
    var rightSum = mat2x4f();
    let end = rangeStart(range + 1u, K / 4u);
    for (var group = rangeStart(range, K / 4u); group < end; group++) {
      let firstValue = x[first + group];
      let secondValue = x[second + group];
      let leftWords = fourColumns(leftStarts, group);
      leftSum = mat2x4f(chain4(leftSum[0], leftWords, firstValue), chain4(leftSum[1], leftWords, secondValue));
      let rightWords = fourColumns(rightStarts, group);
      rightSum = mat2x4f(chain4(rightSum[0], rightWords, firstValue), chain4(rightSum[1], rightWords, secondValue));
    }
    left += leftSum;
    right += rightSum;
  }
  for (var i = 0u; i < 2u; i++) {
    for (var j = 0u; j < 4u; j++) {
      store(row + i, column + j, left[i][j]);
      store(row + i, column + 4u + j, right[i][j]);
    }
  }
}

fn fourRows(row: u32, column: u32) {
  let leftStarts = columnStarts(column);
  let rightStarts = columnStarts(column + 4u);
  let inputs = vec4u(inputStart(row), inputStart(row + 1u), inputStart(row + 2u), inputStart(row + 3u));
  var left = mat4x4f();
  var right = mat4x4f();
  for (var range = 0u; range < RANGES; range++) {
    var leftSum = mat4x4f();
    var rightSum = mat4x4f();
    let end = rangeStart(range + 1u, K / 4u);
    for (var group = rangeStart(range, K / 4u); group < end; group++) {
      let values = mat4x4f(x[inputs.x + group], x[inputs.y + group], x[inputs.z + group], x[inputs.w + group]);
      leftSum = chain16(leftSum, fourColumns(leftStarts, group), values);
      rightSum = chain16(rightSum, fourColumns(rightStarts, group), values);
    }
    left += leftSum;
    right += rightSum;
  }
  let rows = min(pass_.rows - row, ROWS);
  for (var i = 0u; i < rows; i++) {
    for (var j = 0u; j < 4u; j++) {
      store(row + i, column + j, left[i][j]);
      store(row + i, column + 4u + j, right[i][j]);
    }
  }
}

// Where the row's input starts in x. Rows past the last one read the last row.
fn inputStart(row: u32) -> u32 {
  var source = min(row, pass_.rows - 1u);
  if (GATHER) {
    source = rowIndex[source];
  }
  return source * (K / 4u);
}

// Where the words and the scales of four consecutive columns begin.
fn columnStarts(column: u32) -> vec2u {
  return vec2u(columnStart(FIRST_COLUMN + column), scaleStart(FIRST_COLUMN + column));
}

// Loads a group of four consecutive columns, transposed: column i holds their i-th elements.
fn fourColumns(starts: vec2u, group: u32) -> mat4x4f {
  return transpose(mat4x4f(
    weightAt(starts, group),
    weightAt(starts + 1u, group),
    weightAt(starts + 2u, group),
    weightAt(starts + 3u, group),
  ));
}

// Four weights of the column whose words and scales start there.
fn weightAt(starts: vec2u, group: u32) -> vec4f {
  let codes = codesOf(weight[wordIndex(starts.x, group)], group);
  if (!SCALED) {
    return codes;
  }
  let at = scaleIndices(starts.y, group);
  return dequantise(codes, scaleOf(vec2u(scales[at.x], scales[at.y]), group));
}

fn store(row: u32, column: u32, sum: f32) {
  if (column < N) {
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
