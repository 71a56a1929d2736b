// Four unsigned codes of 8 bits in a word, element 0 in the lowest byte.
alias WeightWord = u32;
const WORD_GROUPS: u32 = 1u;

fn codesOf(word: WeightWord, group: u32) -> vec4f {
  return vec4f((vec4u(word) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(255u));
}
