// tanh of any finite argument. Some drivers compute it from exp(x) and give NaN where that overflows; past 10 it is 1 within 4e-9.
fn boundedTanh(x: f32) -> f32 {
  return tanh(clamp(x, -10.0, 10.0));
}
