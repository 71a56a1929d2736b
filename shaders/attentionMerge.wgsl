// Merges the partial results of a row's splits in ascending order (flash decoding; ORDER.md: merge of splits). One invocation
// per (merge, head, group of four dims).
@group(0) @binding(0) var<uniform> pass_: Pass;
@group(0) @binding(1) var<storage, read> merges: array<Merge>;
@group(2) @binding(0) var<storage, read> partials: array<vec4f>;
@group(2) @binding(1) var<storage, read_write> out: array<vec4f>;

struct Merge {
  row: u32,
  // partial of the first split; the next split's is partStride further on
  firstPart: u32,
  partStride: u32,
  partCount: u32,
}

override HEADS: u32;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) invocation: vec3u) {
  let index = invocation.y;
  if (index >= pass_.merges || invocation.x >= HEADS * HEAD_VECS) {
    return;
  }
  let row = merges[index];
  let head = invocation.x / HEAD_VECS;
  let d = invocation.x % HEAD_VECS;
  var foldM = NO_SCORE;
  var foldL = 0.0;
  var foldO = vec4f();
  for (var i = 0u; i < row.partCount; i++) {
    let word = ((row.firstPart + i * row.partStride) * HEADS + head) * (HEAD_VECS + 1u);
    let m = partials[word].x;
    let l = partials[word].y;
    let newM = max(foldM, m);
    let a = rescale(foldM, newM);
    let b = rescale(m, newM);
    foldM = newM;
    foldL = fma(foldL, a, l * b);
    foldO = fma(foldO, vec4f(a), partials[word + 1u + d] * b);
  }
  out[row.row * HEADS * HEAD_VECS + invocation.x] = foldO / foldL;
}
