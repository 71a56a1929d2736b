// The best token of every chunk of a row of logits, and the chunk's part of the row's digest. Chunk c holds the ids c, c + CHUNKS,
// c + 2 CHUNKS, …: neighbouring invocations read neighbouring logits.
@group(0) @binding(0) var<uniform> pass_: Pass;
// [rows]
@group(0) @binding(1) var<storage, read> sampledTable: array<u32>;
// [rows] absolute position of the token that is sampled
@group(0) @binding(2) var<storage, read> sampledPositions: array<u32>;
@group(0) @binding(3) var<storage, read> table: array<TableRow>;
// [rows][VOCAB_SIZE], the bits of f32
@group(2) @binding(0) var<storage, read> logits: array<u32>;
// [rows] keys
@group(2) @binding(1) var<storage, read> thresholds: array<u32>;
// [rows][CHUNKS]
@group(2) @binding(2) var<storage, read_write> chunks: array<Chunk>;

override VOCAB_SIZE: u32;
override CHUNKS: u32;
// every row is greedy and the table is not read (drafting)
override GREEDY: bool;
override DIGEST: bool;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) invocation: vec3u) {
  let chunk = invocation.x;
  let row = invocation.y;
  if (chunk >= CHUNKS || row >= pass_.rows) {
    return;
  }
  var sampled = false;
  var inverseTemperature = 1.0f;
  // keeps logit / T finite
  var limit = 0.0f;
  var threshold = 0u;
  var key = vec4u(0u, 0u, 0u, 0u);
  if (!GREEDY) {
    let tableRow = sampledTable[row];
    let temperature = table[tableRow].temperature;
    sampled = !isGreedy(temperature);
    if (sampled) {
      inverseTemperature = 1.0f / temperature;
      limit = 1e38f * min(temperature, 1.0f);
      threshold = thresholds[row];
      key = rowKey(table[tableRow].seedLow, table[tableRow].seedHigh, table[tableRow].sampleIndex, sampledPositions[row]);
    }
  }
  var best = Chunk(0u, NO_TOKEN, vec2u(0u, 0u));
  var invalid = false;
  for (var token = chunk; token < VOCAB_SIZE; token += CHUNKS) {
    let bits = logits[row * VOCAB_SIZE + token];
    if (DIGEST) {
      best.digest += pcg2d(vec2u(token, bits));
    }
    invalid = invalid || isInvalid(bits);
    if (bits != NEGATIVE_INFINITY && logitKey(bits) >= threshold) {
      var score = bits;
      if (sampled) {
        score = bitcast<u32>(clamp(bitcast<f32>(bits), -limit, limit) * inverseTemperature + gumbel(key, token));
      }
      let rank = logitKey(score);
      // Ids ascend, so a tie keeps the lowest.
      if (rank > best.rank) {
        best.rank = rank;
        best.token = token;
      }
    }
  }
  if (invalid) {
    best.token = INVALID_TOKEN;
  }
  chunks[row * CHUNKS + chunk] = best;
}
