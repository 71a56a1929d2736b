// Rotary position embedding of a head, and the norm that may come before it (ORDER.md): dims i and i + D / 2 turn by one
// angle. A table entry holds the cosine and sine of two angles, (cos, sin, cos, sin), so four dims take two entries.
struct Pair {
  // four dims of the first half of the head, and those they are paired with in the second
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
