// y = x W^T, a workgroup per 16 columns and 8 rows: lane (range, column) sums its range of K for all rows, then the ranges
// meet in workgroup memory and are folded in order. Columns past N read their neighbours' words and are not written.
const COLUMNS: u32 = 16u;
const ROWS: u32 = 8u;

override K: u32;
override N: u32;
override WEIGHT_COLUMNS: u32;
override FIRST_COLUMN: u32;
override RESIDUAL: bool;
override GATHER: bool;

@group(0) @binding(0) var<uniform> current: Pass;
@group(0) @binding(1) var<storage, read> rowIndex: array<u32>; // [rows]
@group(1) @binding(0) var<storage, read> weight: array<WeightWord>; // [K/4][WEIGHT_COLUMNS]
@group(2) @binding(0) var<storage, read> x: array<vec4f>; // [*][K/4]
@group(2) @binding(1) var<storage, read_write> y: array<f32>; // [rows][N]

var<workgroup> sums: array<f32, RANGES * ROWS * COLUMNS>; // [range][row][column]

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) tile: vec3u, @builtin(local_invocation_index) lane: u32) {
  let firstRow = tile.y * ROWS;
  if (firstRow >= current.rows) {
    return;
  }
  let range = lane / COLUMNS;
  let laneColumn = lane % COLUMNS;
  let firstWord = FIRST_COLUMN + tile.x * COLUMNS + laneColumn;
  let start = rangeStart(range, K / 4u);
  let end = rangeStart(range + 1u, K / 4u);

  let upperStarts = fourStarts(firstRow);
  var upper = vec4f();
  var lower = vec4f();
  if (firstRow + 4u < current.rows) {
    let lowerStarts = fourStarts(firstRow + 4u);
    for (var group = start; group < end; group++) {
      let word = unpackWeight(weight[group * WEIGHT_COLUMNS + firstWord]);
      upper = chain4(upper, fourInputs(upperStarts, group), word);
      lower = chain4(lower, fourInputs(lowerStarts, group), word);
    }
  } else {
    for (var group = start; group < end; group++) {
      let word = unpackWeight(weight[group * WEIGHT_COLUMNS + firstWord]);
      upper = chain4(upper, fourInputs(upperStarts, group), word);
    }
  }
  for (var i = 0u; i < 4u; i++) {
    sums[(range * ROWS + i) * COLUMNS + laneColumn] = upper[i];
    sums[(range * ROWS + 4u + i) * COLUMNS + laneColumn] = lower[i];
  }
  workgroupBarrier();

  let row = firstRow + lane / COLUMNS;
  let column = tile.x * COLUMNS + laneColumn;
  if (lane >= ROWS * COLUMNS || row >= current.rows || column >= N) {
    return;
  }
  var sum = 0.0;
  for (var i = 0u; i < RANGES; i++) {
    sum += sums[i * ROWS * COLUMNS + lane];
  }
  let at = row * N + column;
  if (RESIDUAL) {
    y[at] += sum;
  } else {
    y[at] = sum;
  }
}

fn fourStarts(row: u32) -> vec4u {
  return vec4u(inputStart(row), inputStart(row + 1u), inputStart(row + 2u), inputStart(row + 3u));
}

// Where the row's input starts in x. A row past the last one reads the last one's.
fn inputStart(row: u32) -> u32 {
  var source = min(row, current.rows - 1u);
  if (GATHER) {
    source = rowIndex[source];
  }
  return source * (K / 4u);
}

// Column i of the result holds the i-th elements of a group in four rows.
fn fourInputs(starts: vec4u, group: u32) -> mat4x4f {
  return transpose(mat4x4f(x[starts.x + group], x[starts.y + group], x[starts.z + group], x[starts.w + group]));
}
