// Four float16 weights in a word, element 0 in the low half of x.
alias WeightWord = vec2u;

fn unpackWeight(word: WeightWord) -> vec4f {
  return vec4f(unpack2x16float(word.x), unpack2x16float(word.y));
}
