// Hashes and the noise of Gumbel-max sampling. pcg2d and pcg4d: Jarzynski and Olano, "Hash Functions for GPU Rendering",
// Journal of Computer Graphics Techniques 9(3), 2020.

// A temperature below this is greedy, so that logit / temperature cannot overflow.
const MIN_TEMPERATURE: f32 = 1e-5f;

fn isGreedy(temperature: f32) -> bool {
  return temperature < MIN_TEMPERATURE;
}

fn pcg2d(value: vec2u) -> vec2u {
  var v = value * 1664525u + 1013904223u;
  v.x += v.y * 1664525u;
  v.y += v.x * 1664525u;
  v ^= v >> vec2u(16u);
  v.x += v.y * 1664525u;
  v.y += v.x * 1664525u;
  return v ^ (v >> vec2u(16u));
}

fn pcg4d(value: vec4u) -> vec4u {
  var v = value * 1664525u + 1013904223u;
  v.x += v.y * v.w;
  v.y += v.z * v.x;
  v.z += v.x * v.y;
  v.w += v.y * v.z;
  v ^= v >> vec4u(16u);
  v.x += v.y * v.w;
  v.y += v.z * v.x;
  v.z += v.x * v.y;
  v.w += v.y * v.z;
  return v;
}

// The noise key of a sampled row: a function of the request and the position alone, never of the step.
fn rowKey(seed: vec2u, sampleIndex: u32, position: u32) -> vec4u {
  return pcg4d(vec4u(seed, sampleIndex, position));
}

// A standard exponential variate, -log1p(-v). `log` near 1 is inaccurate on some drivers, so small v use the series.
fn exponential(bits: u32) -> f32 {
  let v = min((f32(bits) + 0.5f) * 0x1p-32f, 1.0f - 0x1p-24f);
  if (v < 0x1p-8f) {
    return v * fma(v, fma(v, fma(v, 0.25f, 1.0f / 3.0f), 0.5f), 1.0f);
  }
  return -log(1.0f - v);
}

// Gumbel noise: the token with the largest logit / T + gumbel is a sample from softmax(logit / T).
fn gumbel(key: vec4u, token: u32) -> f32 {
  return -log(exponential(pcg4d(vec4u(key.xyz, key.w ^ token)).w));
}
