// Applies logit bias and then penalties, in place and in vLLM's order, to rows of requests that set them. A row's drafts up to
// its position count as output tokens, so that a verified row gets the logits it would get without speculation. Logits that are
// infinite or NaN are left as they are. One invocation per chunk of a row, in the chunks of sampleChunks. `chunks` gets the
// difference between the digests of the raw and the adjusted logits.
@group(0) @binding(0) var<uniform> pass_: Pass;
@group(0) @binding(1) var<storage, read> requests: array<StepRequest>;
@group(0) @binding(2) var<storage, read> rowPlan: array<vec2u>;
// [rows]
@group(0) @binding(3) var<storage, read> rowIndex: array<u32>;
@group(0) @binding(4) var<storage, read> ids: array<u32>;
@group(0) @binding(5) var<storage, read> table: array<TableRow>;
// [S][VOCAB_SIZE + MAX_BIASES]
@group(0) @binding(6) var<storage, read> adjustments: array<u32>;
// [rows][VOCAB_SIZE], the bits of f32
@group(2) @binding(0) var<storage, read_write> logits: array<u32>;
// [rows][CHUNKS]
@group(2) @binding(1) var<storage, read_write> chunks: array<Chunk>;

override VOCAB_SIZE: u32;
override CHUNKS: u32;
override DIGEST: bool;

// Logits are clamped to this magnitude first, so that no penalty makes them infinite.
const MOST_ADJUSTED: f32 = 3e36;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) invocation: vec3u) {
  let chunk = invocation.x;
  let sampled = invocation.y;
  if (chunk >= CHUNKS || sampled >= pass_.rows) {
    return;
  }
  let row = rowIndex[sampled];
  let index = rowPlan[row].x;
  let tableRow = requests[index].tableRow;
  if (table[tableRow].adjusts == 0u) {
    return;
  }
  // `ids` of a draft row is the draft itself, which precedes the token sampled at that row; hence `<= row`.
  let firstDraft = requests[index].firstRow + requests[index].n - requests[index].k;
  var drafts = vec4u(NO_TOKEN);
  for (var j = 0u; firstDraft + j <= row; j++) {
    drafts[j] = ids[firstDraft + j];
  }
  let repetition = table[tableRow].repetition;
  let inverseRepetition = table[tableRow].inverseRepetition;
  let presence = table[tableRow].presence;
  let frequency = table[tableRow].frequency;
  let base = tableRow * (VOCAB_SIZE + MAX_BIASES);
  var digest = vec2u(0u, 0u);
  for (var token = chunk; token < VOCAB_SIZE; token += CHUNKS) {
    let bits = logits[sampled * VOCAB_SIZE + token];
    let word = adjustments[base + token];
    let drafted = select(vec4u(0u), vec4u(1u), drafts == vec4u(token));
    let count = (word & OUTPUT_COUNT) + drafted.x + drafted.y + drafted.z + drafted.w;
    let bias = (word >> BIAS_SHIFT) & BIAS_MASK;
    let isFinite = (bits & 0x7F800000u) != 0x7F800000u;
    if (isFinite && (word != 0u || count > 0u)) {
      var logit = clamp(bitcast<f32>(bits), -MOST_ADJUSTED, MOST_ADJUSTED);
      if (bias > 0u) {
        logit += bitcast<f32>(adjustments[base + VOCAB_SIZE + bias - 1u]);
      }
      if (count > 0u || (word & IN_PROMPT) != 0u) {
        logit *= select(repetition, inverseRepetition, logit > 0.0f);
      }
      if (count > 0u) {
        logit = fma(-frequency, f32(count), logit) - presence;
      }
      let changed = bitcast<u32>(logit);
      if (DIGEST) {
        digest += pcg2d(vec2u(token, bits)) - pcg2d(vec2u(token, changed));
      }
      logits[sampled * VOCAB_SIZE + token] = changed;
    }
  }
  if (DIGEST) {
    chunks[sampled * CHUNKS + chunk].digest = digest;
  }
}
