// Four cached values as float32.
alias KvWord = vec4f;

fn packKv(value: vec4f) -> KvWord {
  return value;
}

fn unpackKv(word: KvWord) -> vec4f {
  return word;
}
