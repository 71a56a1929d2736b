// Copies rows: out[row] = x[rowIndex[row]]; out is left as it is where the index is NO_SLOT. One invocation per four elements.
@group(0) @binding(0) var<uniform> pass_: Pass;
@group(0) @binding(1) var<storage, read> rowIndex: array<u32>;
@group(2) @binding(0) var<storage, read> x: array<vec4f>;
@group(2) @binding(1) var<storage, read_write> out: array<vec4f>;

// groups of four elements in a row
override ROW_GROUPS: u32;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) invocation: vec3u) {
  let group = invocation.x;
  let row = invocation.y;
  if (group >= ROW_GROUPS || row >= pass_.rows) {
    return;
  }
  let source = rowIndex[row];
  if (source != NO_SLOT) {
    out[row * ROW_GROUPS + group] = x[source * ROW_GROUPS + group];
  }
}
