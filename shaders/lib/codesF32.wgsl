// Four float32 codes in a word.
alias WeightWord = vec4f;
const WORD_GROUPS: u32 = 1u;

fn codesOf(word: WeightWord, group: u32) -> vec4f {
  return word;
}
