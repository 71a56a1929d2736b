/**
 * Orders token ids by frequency, as far as tokenizer.json tells: BPE learns the most frequent pair first, so an earlier
 * merge makes a more frequent token. It must never know what the order is used for.
 */

import { BYTE_TOKENS } from './byteLevel.ts'

/**
 * The ids of a vocabulary of `vocabSize`, most frequent first: the alphabet, then tokens in the order of their merges,
 * then special tokens and ids without a token. In the order of ids if there are no merges. With byte fallback the
 * alphabet is all characters, so byte tokens come last among it.
 * @param tokenizerJson parsed tokenizer.json; unexpected parts are ignored
 */
export function frequencyOrder(tokenizerJson: unknown, vocabSize: number): number[] {
  const { vocab, merges, added, byteFallback } = readParts(tokenizerJson)
  const bytes = new Set(byteFallback ? BYTE_TOKENS.map((token) => vocab.get(token)) : [])
  const ranks = new Map<number, number>()
  merges.forEach((merge, rank) => {
    const id = vocab.get(mergedToken(merge) ?? '')
    if (id !== undefined && !ranks.has(id)) ranks.set(id, rank)
  })
  const known = new Set(vocab.values())
  const rankOf = (id: number): number => {
    if (added.has(id) || bytes.has(id) || (known.size > 0 && !known.has(id))) return Number.POSITIVE_INFINITY
    return byteFallback ? 0 : (ranks.get(id) ?? -1)
  }
  const ids = Array.from({ length: vocabSize }, (_, id) => ({ id, rank: rankOf(id) }))
  return ids.sort((a, b) => (a.rank === b.rank ? a.id - b.id : a.rank - b.rank)).map(({ id }) => id)
}

interface TokenizerParts {
  readonly vocab: ReadonlyMap<string, number>
  readonly merges: readonly unknown[]
  readonly added: ReadonlySet<number>
  readonly byteFallback: boolean
}

function readParts(json: unknown): TokenizerParts {
  const model = fieldOf(json, 'model')
  const vocab = fieldOf(model, 'vocab')
  const merges = fieldOf(model, 'merges')
  const added = fieldOf(json, 'added_tokens')
  const entries = typeof vocab === 'object' && vocab !== null && !Array.isArray(vocab) ? Object.entries(vocab) : []
  const ids = Array.isArray(added) ? added.map((token) => fieldOf(token, 'id')) : []
  return {
    vocab: new Map(entries.filter((entry): entry is [string, number] => Number.isInteger(entry[1]))),
    merges: Array.isArray(merges) ? merges : [],
    byteFallback: fieldOf(model, 'byte_fallback') === true,
    added: new Set(ids.filter((id) => typeof id === 'number')),
  }
}

/** The token that a merge produces. tokenizer.json writes merges as `"a b"` or `["a", "b"]`. */
function mergedToken(merge: unknown): string | undefined {
  if (typeof merge === 'string') return merge.replace(' ', '')
  return Array.isArray(merge) ? merge.join('') : undefined
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
}
