/**
 * An upper bound of the text per token, from the tokenizer's files, with which an overlong text is refused before it is
 * tokenised: a megabyte takes seconds, which would block every stream of the worker. A text that fits is never refused:
 * Infinity where a step of the tokenizer may drop text.
 */

import { BYTE_CHARACTERS, BYTE_TOKENS, bytesOfToken } from './byteLevel.ts'

/** NFC can turn three UTF-16 units into two bytes of UTF-8 (Ǖ), and never more; a test tries every character. */
const NFC_UNITS_PER_BYTE = 1.5

/**
 * Most UTF-16 units of text per token; Infinity where text may be dropped.
 * @param json parsed tokenizer.json in a supported form
 * @param config tokenizer_config.json, parsed
 * @param tokens all tokens, added ones included
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
  // A character outside the vocabulary is at most four bytes, and becomes at least one token.
  let most = 4
  for (const { content } of added) most = Math.max(most, bytesOf(String(content)))
  for (const token of vocabulary) {
    // A unit is at most three bytes, so most tokens need no exact count.
    if (3 * token.length > most) most = Math.max(most, byteLevel ? bytesOfToken(token).length : bytesOf(token))
  }
  return most * NFC_UNITS_PER_BYTE
}

type Fields = Readonly<Record<string, unknown>>

/** The steps of a component, nested sequences flattened. */
function stepsOf(step: unknown, parts: string): Fields[] {
  if (!isFields(step)) return []
  const inner = step[parts]
  if (step.type !== 'Sequence' || !Array.isArray(inner)) return [step]
  return inner.flatMap((part) => stepsOf(part, parts))
}

/** Whether the normalizer keeps at least as many bytes, except for NFC. */
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

/** Whether every piece of text outside the vocabulary still becomes a token. */
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
