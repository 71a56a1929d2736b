// y = silu(x G^T) * (x U^T), a workgroup per 16 columns and 8 rows: lane (range, column) sums its range of K for all rows and
// both matrices, then the ranges meet in workgroup memory (all 16 KiB of it) and are folded in order. Columns past N read
// their neighbours' words and are not written.
const COLUMNS: u32 = 16u;
const ROWS: u32 = 8u;

override K: u32;
override N: u32;

@group(0) @binding(0) var<uniform> current: Pass;
@group(1) @binding(0) var<storage, read> gate: array<WeightWord>; // [K/4][N]
@group(1) @binding(1) var<storage, read> up: array<WeightWord>; // [K/4][N]
@group(2) @binding(0) var<storage, read> x: array<vec4f>; // [rows][K/4]
@group(2) @binding(1) var<storage, read_write> y: array<f32>; // [rows][N]

// [range][row][column]
var<workgroup> gateSums: array<f32, RANGES * ROWS * COLUMNS>;
var<workgroup> upSums: array<f32, RANGES * ROWS * COLUMNS>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) tile: vec3u, @builtin(local_invocation_index) lane: u32) {
  let firstRow = tile.y * ROWS;
  if (firstRow >= current.rows) {
    return;
  }
  let range = lane / COLUMNS;
  let laneColumn = lane % COLUMNS;
  let column = tile.x * COLUMNS + laneColumn;
  let start = rangeStart(range, K / 4u);
  let end = rangeStart(range + 1u, K / 4u);

  var upperGate = vec4f();
  var lowerGate = vec4f();
  var upperUp = vec4f();
  var lowerUp = vec4f();
  let hasLower = firstRow + 4u < current.rows;
  for (var group = start; group < end; group++) {
    let gateWord = unpackWeight(gate[group * N + column]);
    let upWord = unpackWeight(up[group * N + column]);
    let upper = fourInputs(firstRow, group);
    upperGate = chain4(upperGate, upper, gateWord);
    upperUp = chain4(upperUp, upper, upWord);
    if (hasLower) {
      let lower = fourInputs(firstRow + 4u, group);
      lowerGate = chain4(lowerGate, lower, gateWord);
      lowerUp = chain4(lowerUp, lower, upWord);
    }
  }
  for (var i = 0u; i < 4u; i++) {
    let upper = (range * ROWS + i) * COLUMNS + laneColumn;
    let lower = (range * ROWS + 4u + i) * COLUMNS + laneColumn;
    gateSums[upper] = upperGate[i];
    gateSums[lower] = lowerGate[i];
    upSums[upper] = upperUp[i];
    upSums[lower] = lowerUp[i];
  }
  workgroupBarrier();

  let row = firstRow + lane / COLUMNS;
  if (lane >= ROWS * COLUMNS || row >= current.rows || column >= N) {
    return;
  }
  var gateSum = 0.0;
  var upSum = 0.0;
  for (var i = 0u; i < RANGES; i++) {
    gateSum += gateSums[i * ROWS * COLUMNS + lane];
    upSum += upSums[i * ROWS * COLUMNS + lane];
  }
  y[row * N + column] = swiglu(gateSum, upSum);
}

// Column i of the result holds the i-th elements of a group in four rows. A row past the last one reads the last one's.
fn fourInputs(row: u32, group: u32) -> mat4x4f {
  let rows = min(vec4u(row, row + 1u, row + 2u, row + 3u), vec4u(current.rows - 1u));
  let at = rows * (K / 4u) + group;
  return transpose(mat4x4f(x[at.x], x[at.y], x[at.z], x[at.w]));
}
