// Expands the plan's requests into token rows: id, position, KV slot and table row of each. One invocation per row.
// A decoding request's ids and position come from its table row, because the host may not know them yet.
@group(0) @binding(0) var<uniform> pass_: Pass;
@group(0) @binding(1) var<storage, read> requests: array<StepRequest>;
@group(0) @binding(2) var<storage, read> rowPlan: array<vec2u>;
@group(0) @binding(3) var<storage, read> table: array<TableRow>;
@group(0) @binding(4) var<storage, read> blockTable: array<u32>;
@group(2) @binding(0) var<storage, read_write> ids: array<u32>;
@group(2) @binding(1) var<storage, read_write> positions: array<u32>;
@group(2) @binding(2) var<storage, read_write> slots: array<u32>;
@group(2) @binding(3) var<storage, read_write> tableRows: array<u32>;

override MAX_BLOCKS: u32;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) invocation: vec3u) {
  let row = invocation.x;
  if (row >= pass_.rows) {
    return;
  }
  // x: index of the request in this step, y: the row's token id, if the host knows it
  let planned = rowPlan[row];
  let request = requests[planned.x];
  let offset = row - request.firstRow;
  var id = planned.y;
  var position = request.firstPosition + offset;
  if ((request.flags & PROMPT) == 0u) {
    position = table[request.tableRow].computed + offset;
    if (offset == 0u) {
      id = table[request.tableRow].lastToken;
    } else if ((request.flags & PLAN_DRAFTS) == 0u) {
      id = table[request.tableRow].drafts[offset - 1u];
    }
  }
  ids[row] = id;
  positions[row] = position;
  tableRows[row] = request.tableRow;
  slots[row] = NO_SLOT;
  if (position <= table[request.tableRow].lastPosition) {
    let block = blockTable[request.tableRow * MAX_BLOCKS + position / BLOCK_SIZE];
    slots[row] = block * BLOCK_SIZE + position % BLOCK_SIZE;
  }
}
