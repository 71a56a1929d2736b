// The order of sums (ORDER.md): K in 16 contiguous ranges of groups of four, an fma chain in each, added left to right.
const RANGES: u32 = 16u;

fn rangeStart(range: u32, groups: u32) -> u32 {
  return range * groups / RANGES;
}

fn chain(acc: f32, a: vec4f, b: vec4f) -> f32 {
  return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, acc))));
}

// Four chains at once: chain j multiplies element j of every column of `a` with `b`. The same bits as four calls of `chain`.
fn chain4(acc: vec4f, a: mat4x4f, b: vec4f) -> vec4f {
  return fma(a[3], vec4f(b.w), fma(a[2], vec4f(b.z), fma(a[1], vec4f(b.y), fma(a[0], vec4f(b.x), acc))));
}

// Sixteen chains at once: column i of the result belongs to input row b[i].
fn chain16(acc: mat4x4f, a: mat4x4f, b: mat4x4f) -> mat4x4f {
  return mat4x4f(chain4(acc[0], a, b[0]), chain4(acc[1], a, b[1]), chain4(acc[2], a, b[2]), chain4(acc[3], a, b[3]));
}
