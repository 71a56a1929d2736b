// Which keys a query sees, and the cap of its scores before the softmax (ORDER.md). Needs lib/tanh.wgsl.

// a query sees so many keys, of which its own is the last; 0: all up to its own
override WINDOW: u32;
// c of c * tanh(score / c); 0: none
override SOFTCAP: f32;

// The first key that a query sees if there are `keys` up to its own.
fn firstVisible(keys: u32) -> u32 {
  return select(0u, max(keys, WINDOW) - WINDOW, WINDOW > 0u);
}

fn capped(score: f32) -> f32 {
  if (SOFTCAP > 0.0) {
    // Without `max` a shader compiler would see a division by the constant 0 where there is no cap.
    return SOFTCAP * boundedTanh(score / max(SOFTCAP, 1e-9));
  }
  return score;
}
