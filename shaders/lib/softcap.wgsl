// Soft capping (Gemma 2): x stays below `cap` in magnitude. The clamp changes nothing that f32 shows; some drivers give NaN beyond 89.
fn softcap(x: f32, cap: f32) -> f32 {
  return cap * tanh(clamp(x / cap, -10.0, 10.0));
}
