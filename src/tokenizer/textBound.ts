/**
 * How much text a token takes at most, told from the tokenizer's files alone, so that a text far too long is refused before it is
 * tokenised: a megabyte takes seconds, in which every stream of the worker would stand still. A text that fits is never refused:
 * where a step of the tokenizer may drop text, there is no bound.
 */

import { BYTE_CHARACTERS, BYTE_TOKENS, bytesOfToken } from './byteLevel.ts'

/** NFC makes two bytes of UTF-8 of three UTF-16 units (Ǖ), and no more than that of anything: a test tries every character. */
const NFC_UNITS_PER_BYTE = 1.5

/**
 * UTF-16 units of a text per token, at most; Infinity where text may be dropped.
 * @param json tokenizer.json, parsed, of a form that the tokenizer takes
 * @param config tokenizer_config.json, parsed
 * @param tokens all of them, added ones too
 */
export function mostUnitsPerToken(json: Fields, config: Fields, tokens: Iterable<string>): number {
  const vocabulary = new Set(tokens)
  const preTokenizers = stepsOf(json.pre_tokenizer, 'pretokenizers')
  const byteLevel = preTokenizers.some(({ type }) => type === 'ByteLevel')
  const added = Array.isArray(json.added_tokens) ? json.added_tokens.filter(isFields) : []
  const keepsText =
    config.remove_space !== true &&
    config.do_lowercase_and_remove_accent !== true &&
    stepsOf(json.normalizer, 'normalizers').every(normalizerKeeps) &&
    preTokenizers.every(preTokenizerKeeps) &&
    added.every(({ lstrip, rstrip }) => lstrip !== true && rstrip !== true) &&
    modelKeeps(json.model, vocabulary, byteLevel)
  if (!keepsText) return Number.POSITIVE_INFINITY
  // What the vocabulary lacks is a character, of four bytes at most, and a token all the same.
  let most = 4
  for (const { content } of added) most = Math.max(most, bytesOf(String(content)))
  for (const token of vocabulary) {
    // A unit is three bytes at most: nearly all tokens need no closer look.
    if (3 * token.length > most) most = Math.max(most, byteLevel ? bytesOfToken(token).length : bytesOf(token))
  }
  return most * NFC_UNITS_PER_BYTE
}

type Fields = Readonly<Record<string, unknown>>

/** A step, or the steps of a sequence, sequences in it included. */
function stepsOf(step: unknown, parts: string): Fields[] {
  if (!isFields(step)) return []
  const inner = step[parts]
  if (step.type !== 'Sequence' || !Array.isArray(inner)) return [step]
  return inner.flatMap((part) => stepsOf(part, parts))
}

/** Whether it leaves at least as many bytes, up to NFC. */
function normalizerKeeps({ type, pattern, content }: Fields): boolean {
  if (type === 'NFC' || type === 'Prepend') return true
  const from = type === 'Replace' && isFields(pattern) ? pattern.String : undefined
  if (typeof from !== 'string' || typeof content !== 'string') return false
  return from.length === 1 && bytesOf(content) >= bytesOf(from)
}

function preTokenizerKeeps({ type, behavior, invert, replacement }: Fields): boolean {
  if (type === 'ByteLevel' || type === 'Digits') return true
  if (type === 'Metaspace') return replacement !== ''
  if (type !== 'Split' && type !== 'Punctuation') return false
  return invert !== true && String(behavior).toLowerCase() !== 'removed'
}

/** Whether each piece that it does not know becomes a token all the same. */
function modelKeeps(model: unknown, vocabulary: ReadonlySet<string>, byteLevel: boolean): boolean {
  if (!isFields(model) || model.type !== 'BPE') return false
  const { unk_token, fuse_unk, byte_fallback } = model
  if (typeof unk_token === 'string' && vocabulary.has(unk_token)) return fuse_unk !== true
  const names = byte_fallback === true ? BYTE_TOKENS : byteLevel ? BYTE_CHARACTERS : []
  return names.length > 0 && names.every((name) => vocabulary.has(name))
}

function bytesOf(text: string): number {
  return new TextEncoder().encode(text).length
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
