// Soft capping (Gemma 2): x stays below `cap` in magnitude. Needs lib/tanh.wgsl.
fn softcap(x: f32, cap: f32) -> f32 {
  return cap * boundedTanh(x / cap);
}
