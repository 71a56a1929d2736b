// For each sampled row: its table row, the position of the token to sample, and the index of its hidden state, which is the row
// or, with BY_SLOT, its KV slot. The logits of a row without a slot are never used. One invocation per sampled row.
@group(0) @binding(0) var<uniform> pass_: Pass;
@group(0) @binding(1) var<storage, read> rowIndex: array<u32>;
@group(0) @binding(2) var<storage, read> positions: array<u32>;
@group(0) @binding(3) var<storage, read> tableRows: array<u32>;
@group(0) @binding(4) var<storage, read> slots: array<u32>;
@group(2) @binding(0) var<storage, read_write> sampledTable: array<u32>;
@group(2) @binding(1) var<storage, read_write> sampledPositions: array<u32>;
@group(2) @binding(2) var<storage, read_write> headRows: array<u32>;

override BY_SLOT: bool;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) invocation: vec3u) {
  let sampled = invocation.x;
  if (sampled >= pass_.rows) {
    return;
  }
  let row = rowIndex[sampled];
  sampledTable[sampled] = tableRows[row];
  sampledPositions[sampled] = positions[row] + 1u;
  headRows[sampled] = row;
  if (BY_SLOT) {
    headRows[sampled] = select(slots[row], 0u, slots[row] == NO_SLOT);
  }
}
