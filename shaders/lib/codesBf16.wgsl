// Four bfloat16 codes in a word, element 0 in the low half of x. A shift makes them f32 exactly.
alias WeightWord = vec2u;
const WORD_GROUPS: u32 = 1u;

fn codesOf(word: WeightWord, group: u32) -> vec4f {
  return bitcast<vec4f>(vec4u(word.x << 16u, word.x & 0xFFFF0000u, word.y << 16u, word.y & 0xFFFF0000u));
}
