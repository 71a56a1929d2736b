// GEGLU with the tanh form of GELU: gelu_tanh(gate) * up, in the order of ORDER.md. Needs lib/tanh.wgsl.
const SQRT_2_BY_PI: f32 = 0.7978845608028654;

fn activate(gate: f32, up: f32) -> f32 {
  return 0.5 * gate * (1.0 + boundedTanh(SQRT_2_BY_PI * fma(0.044715 * gate * gate, gate, gate))) * up;
}
