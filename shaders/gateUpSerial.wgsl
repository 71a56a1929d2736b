// y = silu(x G^T) * (x U^T), one invocation per 4 columns and up to 4 rows, no barriers: the tile of `linearSerial`, with one
// matrix in each half. Columns past N are computed like others and not written.
const COLUMNS: u32 = 4u;
const ROWS: u32 = 4u;

override K: u32;
override N: u32;

@group(0) @binding(0) var<uniform> pass_: Pass;
@group(1) @binding(0) var<storage, read> gate: array<WeightWord>;
@group(1) @binding(1) var<storage, read> gateScales: array<u32>;
@group(1) @binding(2) var<storage, read> up: array<WeightWord>;
@group(1) @binding(3) var<storage, read> upScales: array<u32>;
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
  let starts = vec2u(columnStart(column), scaleStart(column));
  let input = row * (K / 4u);
  var gates = vec4f();
  var ups = vec4f();
  for (var range = 0u; range < RANGES; range++) {
    var gateSum = vec4f();
    var upSum = vec4f();
    let end = rangeStart(range + 1u, K / 4u);
    for (var group = rangeStart(range, K / 4u); group < end; group++) {
      let value = x[input + group];
      gateSum = chain4(gateSum, gateColumns(starts, group), value);
      upSum = chain4(upSum, upColumns(starts, group), value);
    }
    gates += gateSum;
    ups += upSum;
  }
  for (var i = 0u; i < 4u; i++) {
    store(row, column + i, gates[i], ups[i]);
  }
}

fn twoRows(row: u32, column: u32) {
  let starts = vec2u(columnStart(column), scaleStart(column));
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
      let gateWords = gateColumns(starts, group);
      gateSum = mat2x4f(chain4(gateSum[0], gateWords, first), chain4(gateSum[1], gateWords, second));
      let upWords = upColumns(starts, group);
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
  let starts = vec2u(columnStart(column), scaleStart(column));
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
      gateSum = chain16(gateSum, gateColumns(starts, group), values);
      upSum = chain16(upSum, upColumns(starts, group), values);
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

// Loads a group of four consecutive columns, transposed: column i holds their i-th elements.
fn gateColumns(starts: vec2u, group: u32) -> mat4x4f {
  return transpose(mat4x4f(
    gateAt(starts.x, starts.y, group),
    gateAt(starts.x + 1u, starts.y + 1u, group),
    gateAt(starts.x + 2u, starts.y + 2u, group),
    gateAt(starts.x + 3u, starts.y + 3u, group),
  ));
}

fn upColumns(starts: vec2u, group: u32) -> mat4x4f {
  return transpose(mat4x4f(
    upAt(starts.x, starts.y, group),
    upAt(starts.x + 1u, starts.y + 1u, group),
    upAt(starts.x + 2u, starts.y + 2u, group),
    upAt(starts.x + 3u, starts.y + 3u, group),
  ));
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

fn store(row: u32, column: u32, gateSum: f32, upSum: f32) {
  if (column < N) {
    y[row * N + column] = activate(gateSum, upSum);
  }
}
