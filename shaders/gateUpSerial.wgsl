// y = silu(x G^T) * (x U^T), one invocation per 4 columns and up to 4 rows, no barriers: the tile of `linearSerial`, with one
// matrix in each half. Columns past N read words of other columns and are not written.
const COLUMNS: u32 = 4u;
const ROWS: u32 = 4u;

override K: u32;
override N: u32;

@group(0) @binding(0) var<uniform> pass_: Pass;
@group(1) @binding(0) var<storage, read> gate: array<WeightWord>; // [K/4][N]
@group(1) @binding(1) var<storage, read> up: array<WeightWord>; // [K/4][N]
@group(2) @binding(0) var<storage, read> x: array<vec4f>; // [rows][K/4]
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
  let input = row * (K / 4u);
  var gates = vec4f();
  var ups = vec4f();
  for (var range = 0u; range < RANGES; range++) {
    var gateSum = vec4f();
    var upSum = vec4f();
    let end = rangeStart(range + 1u, K / 4u);
    for (var group = rangeStart(range, K / 4u); group < end; group++) {
      let value = x[input + group];
      gateSum = chain4(gateSum, gateColumns(group, column), value);
      upSum = chain4(upSum, upColumns(group, column), value);
    }
    gates += gateSum;
    ups += upSum;
  }
  for (var i = 0u; i < 4u; i++) {
    store(row, column + i, gates[i], ups[i]);
  }
}

fn twoRows(row: u32, column: u32) {
  let input = row * (K / 4u);
  var gates = mat2x4f();
  var ups = mat2x4f();
  for (var range = 0u; range < RANGES; range++) {
    var gateSum = mat2x4f();
    var upSum = mat2x4f();
    let end = rangeStart(range + 1u, K / 4u);
    for (var group = rangeStart(range, K / 4u); group < end; group++) {
      let first = x[input + group];
      let second = x[input + K / 4u + group];
      let gateWords = gateColumns(group, column);
      gateSum = mat2x4f(chain4(gateSum[0], gateWords, first), chain4(gateSum[1], gateWords, second));
      let upWords = upColumns(group, column);
      upSum = mat2x4f(chain4(upSum[0], upWords, first), chain4(upSum[1], upWords, second));
    }
    gates += gateSum;
    ups += upSum;
  }
  for (var i = 0u; i < 2u; i++) {
    for (var j = 0u; j < 4u; j++) {
      store(row + i, column + j, gates[i][j], ups[i][j]);
    }
  }
}

fn fourRows(row: u32, column: u32) {
  // Rows past the last one read the last row.
  let inputs = min(vec4u(row, row + 1u, row + 2u, row + 3u), vec4u(pass_.rows - 1u)) * (K / 4u);
  var gates = mat4x4f();
  var ups = mat4x4f();
  for (var range = 0u; range < RANGES; range++) {
    var gateSum = mat4x4f();
    var upSum = mat4x4f();
    let end = rangeStart(range + 1u, K / 4u);
    for (var group = rangeStart(range, K / 4u); group < end; group++) {
      let values = mat4x4f(x[inputs.x + group], x[inputs.y + group], x[inputs.z + group], x[inputs.w + group]);
      gateSum = chain16(gateSum, gateColumns(group, column), values);
      upSum = chain16(upSum, upColumns(group, column), values);
    }
    gates += gateSum;
    ups += upSum;
  }
  let rows = min(pass_.rows - row, ROWS);
  for (var i = 0u; i < rows; i++) {
    for (var j = 0u; j < 4u; j++) {
      store(row + i, column + j, gates[i][j], ups[i][j]);
    }
  }
}

// Loads the words of four consecutive columns, transposed: column i holds their i-th elements.
fn gateColumns(group: u32, column: u32) -> mat4x4f {
  let at = group * N + column;
  return transpose(mat4x4f(
    unpackWeight(gate[at]),
    unpackWeight(gate[at + 1u]),
    unpackWeight(gate[at + 2u]),
    unpackWeight(gate[at + 3u]),
  ));
}

fn upColumns(group: u32, column: u32) -> mat4x4f {
  let at = group * N + column;
  return transpose(mat4x4f(
    unpackWeight(up[at]),
    unpackWeight(up[at + 1u]),
    unpackWeight(up[at + 2u]),
    unpackWeight(up[at + 3u]),
  ));
}

fn store(row: u32, column: u32, gateSum: f32, upSum: f32) {
  if (column < N) {
    y[row * N + column] = activate(gateSum, upSum);
  }
}
