// Prepares the first draft pass: each drafting request starts from its last valid row of the KV pass. That row's K and V are in
// the cache already, so its slot is NO_SLOT. One invocation per drafting request.
@group(0) @binding(0) var<uniform> pass_: Pass;
@group(0) @binding(1) var<storage, read> requests: array<StepRequest>;
@group(0) @binding(2) var<storage, read> draftRequests: array<u32>;
@group(0) @binding(3) var<storage, read> results: array<StepResult>;
@group(0) @binding(4) var<storage, read> drafterPositions: array<u32>;
@group(2) @binding(0) var<storage, read_write> draftSources: array<u32>;
@group(2) @binding(1) var<storage, read_write> draftPositions: array<u32>;
@group(2) @binding(2) var<storage, read_write> draftSlots: array<u32>;
@group(2) @binding(3) var<storage, read_write> draftTableRows: array<u32>;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) invocation: vec3u) {
  let draft = invocation.x;
  if (draft >= pass_.rows) {
    return;
  }
  let index = draftRequests[draft];
  let request = requests[index];
  let source = request.kvPassRow + request.catchUp + request.n - 1u - (request.k - results[index].accepted);
  draftSources[draft] = source;
  draftPositions[draft] = drafterPositions[source];
  draftSlots[draft] = NO_SLOT;
  draftTableRows[draft] = request.tableRow;
}
