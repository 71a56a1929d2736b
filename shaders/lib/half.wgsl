// The value of the low 16 bits as float16, exact. unpack2x16float may flush subnormal values to 0, and nearly every d of a Q6_K block
// is one.
fn half(bits: u32) -> f32 {
  let magnitude = bits & 0x7FFFu;
  var value = bitcast<f32>((magnitude << 13u) + 0x38000000u);
  if (magnitude < 0x400u) {
    value = f32(magnitude) * 0x1p-24;
  } else if (magnitude >= 0x7C00u) {
    value = bitcast<f32>((magnitude << 13u) + 0x70000000u);
  }
  return select(value, -value, (bits & 0x8000u) != 0u);
}
