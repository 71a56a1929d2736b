// y = x W^T + bias, one invocation per 8 columns and up to 4 rows, no barriers. On a CPU loads dominate, so a tile of 4 by 8 sums
// shares them; there are separate paths for one row and two (a single request without and with a draft). A larger tile is
// slightly faster and compiles much slower. Columns past N read words of other columns and are not written.
const COLUMNS: u32 = 8u;
const ROWS: u32 = 4u;

override K: u32;
override N: u32;
override WEIGHT_COLUMNS: u32;
override FIRST_COLUMN: u32;
override RESIDUAL: bool;
override GATHER: bool;
override BIAS: bool;

@group(0) @binding(0) var<uniform> pass_: Pass;
@group(0) @binding(1) var<storage, read> rowIndex: array<u32>; // [rows]
@group(1) @binding(0) var<storage, read> weight: array<WeightWord>; // [K/4][WEIGHT_COLUMNS]
@group(1) @binding(1) var<storage, read> bias: array<f32>; // [WEIGHT_COLUMNS]
@group(2) @binding(0) var<storage, read> x: array<vec4f>; // [*][K/4]
@group(2) @binding(1) var<storage, read_write> y: array<f32>; // [rows][N]

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
  let input = inputStart(row);
  var left = vec4f();
  var right = vec4f();
  for (var range = 0u; range < RANGES; range++) {
    var leftSum = vec4f();
    var rightSum = vec4f();
    let end = rangeStart(range + 1u, K / 4u);
    for (var group = rangeStart(range, K / 4u); group < end; group++) {
      let value = x[input + group];
      leftSum = chain4(leftSum, fourColumns(group, column), value);
      rightSum = chain4(rightSum, fourColumns(group, column + 4u), value);
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
      let leftWords = fourColumns(group, column);
      leftSum = mat2x4f(chain4(leftSum[0], leftWords, firstValue), chain4(leftSum[1], leftWords, secondValue));
      let rightWords = fourColumns(group, column + 4u);
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
  let inputs = vec4u(inputStart(row), inputStart(row + 1u), inputStart(row + 2u), inputStart(row + 3u));
  var left = mat4x4f();
  var right = mat4x4f();
  for (var range = 0u; range < RANGES; range++) {
    var leftSum = mat4x4f();
    var rightSum = mat4x4f();
    let end = rangeStart(range + 1u, K / 4u);
    for (var group = rangeStart(range, K / 4u); group < end; group++) {
      let values = mat4x4f(x[inputs.x + group], x[inputs.y + group], x[inputs.z + group], x[inputs.w + group]);
      leftSum = chain16(leftSum, fourColumns(group, column), values);
      rightSum = chain16(rightSum, fourColumns(group, column + 4u), values);
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

// Loads the words of four consecutive columns, transposed: column i holds their i-th elements.
fn fourColumns(group: u32, column: u32) -> mat4x4f {
  let at = group * WEIGHT_COLUMNS + FIRST_COLUMN + column;
  return transpose(mat4x4f(
    unpackWeight(weight[at]),
    unpackWeight(weight[at + 1u]),
    unpackWeight(weight[at + 2u]),
    unpackWeight(weight[at + 3u]),
  ));
}

fn store(row: u32, column: u32, sum: f32) {
  if (column < N) {
    let at = row * N + column;
    var total = sum;
    if (BIAS) {
      total += bias[FIRST_COLUMN + column];
    }
    if (RESIDUAL) {
      total = y[at] + total;
    }
    y[at] = total;
  }
}
