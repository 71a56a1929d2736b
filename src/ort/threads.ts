/**
 * How many threads ONNX Runtime can have here. They are workers that run its glue and need shared memory, which only cross-origin
 * isolated pages have. This must never know a session.
 */

/**
 * As many threads as can start: 1 where the page is not isolated, and where the glue comes without the header that every script
 * of a worker needs there, as from servers that send it with pages alone.
 */
export async function possibleThreads({
  glue,
  numThreads,
}: {
  readonly glue: URL
  readonly numThreads: number
}): Promise<number> {
  if (numThreads === 1 || globalThis.crossOriginIsolated !== true) return 1
  // ONNX Runtime makes a Blob of a file of another origin, and a Blob has its maker's policy.
  if (glue.origin !== globalThis.origin) return numThreads
  try {
    const response = await fetch(glue, { credentials: 'same-origin' })
    await response.body?.cancel()
    return response.ok && !response.headers.has('cross-origin-embedder-policy') ? 1 : numThreads
  } catch {
    return numThreads // what is wrong with the file is found when it is loaded
  }
}
