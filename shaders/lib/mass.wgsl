// Token weights of min-p, top-k and top-p as integers, so that any order of summation gives the same threshold. A mass
// (high, low) stands for high * 4096 + low; up to 2^20 tokens neither half overflows. A token weighs
// exp((logit - peak) / T) * 2^24 for top-p and 1 for top-k. Needs lib/logitKey.wgsl.
struct Softmax {
  // the row's largest logit
  peak: f32,
  temperature: f32,
}

// Key of the smallest logit that min-p keeps; 0 where min-p is off.
fn marginKey(softmax: Softmax, margin: f32) -> u32 {
  return select(0u, logitKey(bitcast<u32>(softmax.peak - margin)), margin >= 0.0f);
}

fn probabilityMass(key: u32, softmax: Softmax) -> vec2u {
  let logit = keyLogit(key);
  // exp(-17) * 2^24 is below 1; this also keeps NaN and -infinity out of the arithmetic.
  if (key <= NEGATIVE_INFINITY_KEY || logit < softmax.peak - 17.0f * softmax.temperature) {
    return vec2u(0u, 0u);
  }
  let weight = u32(exp((logit - softmax.peak) / softmax.temperature) * 0x1p24f);
  return vec2u(weight >> 12u, weight & 4095u);
}

fn carried(mass: vec2u) -> vec2u {
  return vec2u(mass.x + (mass.y >> 12u), mass.y & 4095u);
}

// Whether mass >= goal; both must be carried.
fn reaches(mass: vec2u, goal: vec2u) -> bool {
  return mass.x > goal.x || (mass.x == goal.x && mass.y >= goal.y);
}

// The mass of k tokens.
fn countGoal(k: u32) -> vec2u {
  return vec2u(k >> 12u, k & 4095u);
}

// ceil(topP * total), at least 1, with topP in units of 2^-24: a product of 12-bit digits. `total` is carried.
fn shareGoal(total: vec2u, topP: f32) -> vec2u {
  let share = u32(topP * 0x1p24f);
  let p = vec2u(share & 4095u, share >> 12u);
  let t = vec4u(total.y, total.x & 4095u, (total.x >> 12u) & 4095u, total.x >> 24u);
  let d0 = t.x * p.x;
  let d1 = t.x * p.y + t.y * p.x + (d0 >> 12u);
  let d2 = t.y * p.y + t.z * p.x + (d1 >> 12u);
  let d3 = t.z * p.y + t.w * p.x + (d2 >> 12u);
  let d4 = t.w * p.y + (d3 >> 12u);
  let roundUp = select(0u, 1u, ((d0 | d1) & 4095u) != 0u);
  let goal = carried(vec2u((d3 & 4095u) + (d4 << 12u), (d2 & 4095u) + roundUp));
  return select(goal, vec2u(0u, 1u), goal.x == 0u && goal.y == 0u);
}
