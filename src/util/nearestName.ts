/** Suggests the known name that a misspelt one was probably meant to be, for error messages. */

/**
 * The entry of `known` that equals `name` up to case and separators (`max_num_seqs`, `maxTokens`), else the closest by
 * edit distance within a small limit; undefined if none is close.
 */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  const plain = spelling(name)
  // A long name is not a typing error, and its edit distance would be slow to compute.
  if (plain.length > MOST_LETTERS) return undefined
  let nearest: string | undefined
  let least = Math.floor(plain.length / 3) + 1
  for (const candidate of known) {
    const distance = editDistance(plain, spelling(candidate))
    if (distance >= least) continue
    nearest = candidate
    least = distance
  }
  return nearest
}

const MOST_LETTERS = 64

/** Removes what differs between camelCase, snake_case and kebab-case. */
function spelling(name: string): string {
  return name.replace(/[_-]/g, '').toLowerCase()
}

/** Edit distance by insertion, deletion, substitution and transposition (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      row[j] = Math.min(
        (last[j] ?? 0) + 1,
        (row[j - 1] ?? 0) + 1,
        (last[j - 1] ?? 0) + (same ? 0 : 1),
        swapped ? (beforeLast[j - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY,
      )
    }
    beforeLast = last
    last = row
  }
  return last[b.length] ?? 0
}
