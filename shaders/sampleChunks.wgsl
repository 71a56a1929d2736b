// Finds the best token of every chunk of a row of logits, and the chunk's part of the row's digest. Chunk c holds the ids c,
// c + CHUNKS, c + 2 CHUNKS, …, so that neighbouring invocations read neighbouring logits.
@group(0) @binding(0) var<uniform> pass_: Pass;
// [rows]
@group(0) @binding(1) var<storage, read> sampledTable: array<u32>;
// [rows] position of the token to sample
@group(0) @binding(2) var<storage, read> sampledPositions: array<u32>;
@group(0) @binding(3) var<storage, read> table: array<TableRow>;
// [rows][VOCAB_SIZE], the bits of f32
@group(2) @binding(0) var<storage, read> logits: array<u32>;
// [rows] keys
@group(2) @binding(1) var<storage, read> thresholds: array<u32>;
// [rows][CHUNKS]; for rows that adjustLogits changed, `digest` holds the raw digest minus the adjusted one on entry
@group(2) @binding(2) var<storage, read_write> chunks: array<Chunk>;

override VOCAB_SIZE: u32;
override CHUNKS: u32;
// for draft passes: every row is greedy, and the request table is not read
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
  var adjusts = false;
  var inverseTemperature = 1.0f;
  // logits are clamped to it, so that logit / T stays finite
  var limit = 0.0f;
  var lowest = NEGATIVE_INFINITY_KEY + 1u;
  var noiseKey = vec4u(0u, 0u, 0u, 0u);
  if (!GREEDY) {
    let tableRow = sampledTable[row];
    let temperature = table[tableRow].temperature;
    sampled = !isGreedy(temperature);
    adjusts = table[tableRow].adjusts == 1u;
    if (sampled) {
      inverseTemperature = 1.0f / temperature;
      limit = 1e38f * min(temperature, 1.0f);
      lowest = max(lowest, thresholds[row]);
      let seed = vec2u(table[tableRow].seedLow, table[tableRow].seedHigh);
      noiseKey = rowKey(seed, table[tableRow].sampleIndex, sampledPositions[row]);
    }
  }
  // Ids are visited in ascending order, so a tie keeps the lowest.
  var best = Chunk(0u, NO_TOKEN, vec2u(0u, 0u));
  if (DIGEST && adjusts) {
    best.digest = chunks[row * CHUNKS + chunk].digest;
  }
  var invalid = false;
  var next = chunk;
  while (next < VOCAB_SIZE) {
    // Skips to the next token that needs noise, which is expensive: software drivers execute both sides of a branch.
    var token = next;
    var bits = 0u;
    var found = false;
    while (next < VOCAB_SIZE && !found) {
      token = next;
      bits = logits[row * VOCAB_SIZE + token];
      if (DIGEST) {
        best.digest += pcg2d(vec2u(token, bits));
      }
      invalid = invalid || isInvalid(bits);
      let rank = logitKey(bits);
      let kept = rank >= lowest;
      found = kept && sampled;
      if (kept && !sampled && rank > best.rank) {
        best.rank = rank;
        best.token = token;
      }
      next += CHUNKS;
    }
    let logit = clamp(bitcast<f32>(bits), -limit, limit);
    let rank = logitKey(bitcast<u32>(logit * inverseTemperature + gumbel(noiseKey, token)));
    if (found && rank > best.rank) {
      best.rank = rank;
      best.token = token;
    }
  }
  if (invalid) {
    best.token = INVALID_TOKEN;
  }
  chunks[row * CHUNKS + chunk] = best;
}
