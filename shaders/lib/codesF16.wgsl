// Four float16 codes in a word, element 0 in the low half of x.
alias WeightWord = vec2u;
const WORD_GROUPS: u32 = 1u;

fn codesOf(word: WeightWord, group: u32) -> vec4f {
  return vec4f(unpack2x16float(word.x), unpack2x16float(word.y));
}
