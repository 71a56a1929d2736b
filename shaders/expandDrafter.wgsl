// The rows of the drafter's KV pass: position, next token and KV slot of each; the slot also addresses the target's hidden state.
// A request's catch-up rows of earlier steps come first, then its rows of this step. Rows after the last
// accepted one get NO_SLOT. One invocation per row.
@group(0) @binding(0) var<uniform> pass_: Pass;
@group(0) @binding(1) var<storage, read> requests: array<StepRequest>;
@group(0) @binding(2) var<storage, read> drafterPlan: array<vec2u>;
@group(0) @binding(3) var<storage, read> results: array<StepResult>;
@group(0) @binding(4) var<storage, read> positions: array<u32>;
@group(0) @binding(5) var<storage, read> blockTable: array<u32>;
@group(2) @binding(0) var<storage, read_write> nextTokens: array<u32>;
@group(2) @binding(1) var<storage, read_write> drafterPositions: array<u32>;
@group(2) @binding(2) var<storage, read_write> drafterSlots: array<u32>;

override MAX_BLOCKS: u32;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) invocation: vec3u) {
  let row = invocation.x;
  if (row >= pass_.rows) {
    return;
  }
  // x: index of the request in this step, y: the next token, if the host knows it
  let planned = drafterPlan[row];
  let request = requests[planned.x];
  let offset = row - request.kvPassRow;
  var position = request.catchUpFrom + offset;
  var next = planned.y;
  var valid = true;
  if (offset >= request.catchUp) {
    let own = offset - request.catchUp;
    position = positions[request.firstRow + own];
    let firstSampled = request.n - 1u - request.k;
    if ((request.flags & SAMPLES) != 0u && own >= firstSampled) {
      let j = own - firstSampled;
      // An accepted draft equals the token sampled at the row before it.
      next = results[planned.x].tokens[min(j, 4u)];
      valid = j <= results[planned.x].accepted && results[planned.x].numericError == 0u;
    }
  }
  drafterPositions[row] = position;
  nextTokens[row] = select(0u, next, valid);
  drafterSlots[row] = NO_SLOT;
  if (valid) {
    let block = blockTable[request.tableRow * MAX_BLOCKS + position / BLOCK_SIZE];
    drafterSlots[row] = block * BLOCK_SIZE + position % BLOCK_SIZE;
  }
}
