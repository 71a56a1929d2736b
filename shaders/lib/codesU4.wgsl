// Eight unsigned codes of 4 bits in a word, element 0 in the lowest bits: two groups of four.
alias WeightWord = u32;
const WORD_GROUPS: u32 = 2u;

fn codesOf(word: WeightWord, group: u32) -> vec4f {
  return vec4f((vec4u(word >> (16u * (group % 2u))) >> vec4u(0u, 4u, 8u, 12u)) & vec4u(15u));
}
