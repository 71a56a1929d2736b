// Verifies drafts: the token sampled at row j is committed, and draft j + 1 is accepted only if it equals that token. Drafts are
// argmax, so this is exactly rejection sampling (Leviathan et al. 2023 with a one-hot q), and the output equals decoding without
// speculation. Advances the request's table row and counts its committed tokens for penalties. One invocation per request.
@group(0) @binding(0) var<uniform> pass_: Pass;
@group(0) @binding(1) var<storage, read> requests: array<StepRequest>;
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<storage, read> tokens: array<u32>;
@group(0) @binding(4) var<storage, read_write> table: array<TableRow>;
@group(2) @binding(0) var<storage, read_write> results: array<StepResult>;
// [S][VOCAB_SIZE + MAX_BIASES]
@group(2) @binding(1) var<storage, read_write> adjustments: array<u32>;

override VOCAB_SIZE: u32;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) invocation: vec3u) {
  let index = invocation.x;
  if (index >= pass_.rows) {
    return;
  }
  let request = requests[index];
  results[index].step = request.step;
  results[index].generation = request.generation;
  results[index].accepted = 0u;
  results[index].committed = 0u;
  results[index].numericError = 0u;
  if ((request.flags & SAMPLES) == 0u) {
    table[request.tableRow].computed = request.firstPosition + request.n;
    return;
  }
  let firstDraft = request.firstRow + request.n - request.k;
  var accepted = 0u;
  var token = NO_TOKEN;
  var numericError = 0u;
  for (var j = 0u; j <= request.k; j++) {
    token = tokens[request.firstSampled + j];
    if (token == NO_TOKEN) {
      numericError = 1u;
      token = 0u;
      break;
    }
    if (j < request.k && (request.flags & ACCEPT_ALL) != 0u) {
      token = ids[firstDraft + j];
    }
    results[index].tokens[j] = token;
    if (j == request.k || token != ids[firstDraft + j] || (request.flags & REJECT_ALL) != 0u) {
      break;
    }
    accepted++;
  }
  for (var j = 0u; j < request.k; j++) {
    results[index].verified[j] = ids[firstDraft + j];
  }
  results[index].accepted = accepted;
  results[index].committed = select(accepted + 1u, 0u, numericError == 1u);
  results[index].numericError = numericError;
  var first = request.firstPosition;
  if ((request.flags & PROMPT) == 0u) {
    first = table[request.tableRow].computed;
  }
  table[request.tableRow].computed = first + request.n - (request.k - accepted);
  table[request.tableRow].lastToken = token;
  if (table[request.tableRow].adjusts == 1u && numericError == 0u) {
    for (var j = 0u; j <= accepted; j++) {
      adjustments[request.tableRow * (VOCAB_SIZE + MAX_BIASES) + results[index].tokens[j]] += 1u;
    }
  }
}
