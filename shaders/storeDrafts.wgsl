// Ends a draft pass: stores each draft in the request table, to be verified in the next step, and in the results for the host;
// advances the row to the next position. One invocation per drafting request.
@group(0) @binding(0) var<uniform> pass_: Pass;
@group(0) @binding(1) var<storage, read> draftRequests: array<u32>;
@group(0) @binding(2) var<storage, read> draftTableRows: array<u32>;
@group(0) @binding(3) var<storage, read> blockTable: array<u32>;
@group(0) @binding(4) var<storage, read> tokens: array<u32>;
@group(0) @binding(5) var<storage, read_write> table: array<TableRow>;
@group(2) @binding(0) var<storage, read_write> results: array<StepResult>;
@group(2) @binding(1) var<storage, read_write> draftPositions: array<u32>;
@group(2) @binding(2) var<storage, read_write> draftSlots: array<u32>;

override MAX_BLOCKS: u32;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) invocation: vec3u) {
  let draft = invocation.x;
  if (draft >= pass_.rows) {
    return;
  }
  let tableRow = draftTableRows[draft];
  let position = draftPositions[draft] + 1u;
  // A drafter without a finite logit proposes token 0; the target model verifies it like any draft.
  let proposed = select(tokens[draft], 0u, tokens[draft] == NO_TOKEN);
  results[draftRequests[draft]].proposed[pass_.draft] = proposed;
  table[tableRow].drafts[pass_.draft] = proposed;
  draftPositions[draft] = position;
  draftSlots[draft] = NO_SLOT;
  if (position <= table[tableRow].lastPosition) {
    let block = blockTable[tableRow * MAX_BLOCKS + position / BLOCK_SIZE];
    draftSlots[draft] = block * BLOCK_SIZE + position % BLOCK_SIZE;
  }
}
