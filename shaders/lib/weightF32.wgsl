// Four float32 weights in a word.
alias WeightWord = vec4f;

fn unpackWeight(word: WeightWord) -> vec4f {
  return word;
}
