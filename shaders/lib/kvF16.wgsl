// Four cached values as float16, by pack2x16float, which needs no `shader-f16`.
alias KvWord = vec2u;

fn packKv(value: vec4f) -> KvWord {
  return vec2u(pack2x16float(value.xy), pack2x16float(value.zw));
}

fn unpackKv(word: KvWord) -> vec4f {
  return vec4f(unpack2x16float(word.x), unpack2x16float(word.y));
}
