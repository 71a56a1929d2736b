/** Recognises files that are something else than asked for by their first bytes. It must never know how to read any of them. */

/** What the file looks like, if it is a common mistake: 'an HTML page'. */
export function foreignFormat(start: Uint8Array): string | undefined {
  const text = new TextDecoder().decode(start.subarray(0, 64)).trimStart().toLowerCase()
  if (text.startsWith('<!doctype') || text.startsWith('<html')) return 'an HTML page'
  if (text.startsWith('version https://git-lfs'))
    return 'a Git LFS pointer (the weights themselves were not checked out)'
  return undefined
}
