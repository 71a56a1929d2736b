/** The ids that end a generation, from a GGUF file's vocabulary. It must never know how text becomes ids. */

import { GgufFields, type GgufMetadata, isNumbers, isStrings } from './ggufFields.ts'

/** GGUF has no generation_config.json: llama.cpp knows more ends by their spelling. */
const SPELLINGS: ReadonlySet<string> = new Set([
  '<|eot_id|>',
  '<|im_end|>',
  '<|end|>',
  '<|endoftext|>',
  '<end_of_turn>',
  '<|eom_id|>',
  '</s>',
  '<|return|>',
])

/** Of `tokenizer.ggml.token_type`. An HTML tag `</s>` that users may write is another type. */
const CONTROL = 3

/**
 * End of text, of turn and of message as the file names them, then control tokens that are spelled like ends.
 * @param vocabSize rows of the embedding
 * @throws MODEL_FORMAT naming the key
 */
export function ggufEndIds(metadata: GgufMetadata, vocabSize: number): number[] {
  const fields = new GgufFields(metadata, 'tokenizer.ggml.')
  const ids = new Set<number>()
  for (const key of ['eos_token_id', 'eot_token_id', 'eom_token_id']) {
    const id = tokenId(fields, key, vocabSize)
    if (id !== undefined) ids.add(id)
  }
  const tokens = fields.raw('tokens')
  const types = fields.raw('token_type')
  if (isStrings(tokens) && isNumbers(types)) {
    for (let id = 0; id < Math.min(tokens.length, vocabSize); id++) {
      if (types[id] === CONTROL && SPELLINGS.has(tokens[id] ?? '')) ids.add(id)
    }
  }
  return [...ids]
}

export function ggufBosId(metadata: GgufMetadata, vocabSize: number): number | undefined {
  return tokenId(new GgufFields(metadata, 'tokenizer.ggml.'), 'bos_token_id', vocabSize)
}

function tokenId(fields: GgufFields, key: string, vocabSize: number): number | undefined {
  const id = fields.optional(key, (name) => fields.integer(name, 0))
  if (id !== undefined && id >= vocabSize)
    fields.refuse(key, `it must be below ${vocabSize}, the rows of token_embd.weight`)
  return id
}
