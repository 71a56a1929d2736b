// Rotary position embedding of a head, and the norm that may precede it (ORDER.md): of the R rotated dims, i and i + R / 2 rotate
// by the same angle. A table entry holds two angles as (cos, sin, cos, sin), so four pairs of dims need two entries.
struct Pair {
  // four dims of the first half of the rotated ones, and their partners in the second half
  first: vec4f,
  second: vec4f,
}

fn normPair(x: Pair, scale: f32, weight: Pair) -> Pair {
  return Pair((x.first * scale) * weight.first, (x.second * scale) * weight.second);
}

fn rotate(x: Pair, low: vec4f, high: vec4f) -> Pair {
  let a = x.first;
  let b = x.second;
  let cosine = vec4f(low.xz, high.xz);
  let sine = vec4f(low.yw, high.yw);
  return Pair(fma(a, cosine, -(b * sine)), fma(b, cosine, a * sine));
}
