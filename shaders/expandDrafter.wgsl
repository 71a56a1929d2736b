// The drafter's KV pass: for each target row the token that follows it and the drafter's KV slot. A row after the accepted one
// writes nothing. One invocation per row.
@group(0) @binding(0) var<uniform> pass_: Pass;
@group(0) @binding(1) var<storage, read> requests: array<StepRequest>;
@group(0) @binding(2) var<storage, read> rowPlan: array<vec2u>;
@group(0) @binding(3) var<storage, read> results: array<StepResult>;
@group(0) @binding(4) var<storage, read> ids: array<u32>;
@group(0) @binding(5) var<storage, read> slots: array<u32>;
@group(2) @binding(0) var<storage, read_write> nextTokens: array<u32>;
@group(2) @binding(1) var<storage, read_write> drafterSlots: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) invocation: vec3u) {
  let row = invocation.x;
  if (row >= pass_.rows) {
    return;
  }
  let index = rowPlan[row].x;
  let request = requests[index];
  let accepted = results[index].accepted;
  // the row whose successor this step sampled
  let last = request.firstRow + request.n - 1u - (request.k - accepted);
  nextTokens[row] = 0u;
  drafterSlots[row] = NO_SLOT;
  if (row > last) {
    return;
  }
  drafterSlots[row] = slots[row];
  if (row < last) {
    nextTokens[row] = ids[row + 1u];
  } else if ((request.flags & SAMPLES) == 0u) {
    nextTokens[row] = request.nextToken;
  } else if (results[index].numericError == 0u) {
    nextTokens[row] = results[index].tokens[accepted];
  }
}
