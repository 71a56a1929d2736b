/**
 * Threads of ONNX Runtime are workers that run its glue. They need shared memory, which only cross-origin isolated pages have, and
 * the runtime waits for ever for one that does not start. This must never know a session.
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

/**
 * Runs `start`, which starts threads.
 * @throws what `start` throws; as soon as a thread does not start, an Error saying so
 */
export async function untilThreadFails(start: () => Promise<void>): Promise<void> {
  const { Worker } = globalThis
  const failure = new Promise<never>((_, reject) => {
    globalThis.Worker = new Proxy(Worker, {
      construct(target, [url, options]: ConstructorParameters<typeof Worker>) {
        const worker = new target(url, options)
        // Only what a script throws has a message.
        const fail = ({ message = 'its script was refused or could not be loaded' }: Partial<ErrorEvent>) =>
          reject(new Error(`a thread did not start (${message}): with numThreads: 1 there are none`))
        worker.addEventListener('error', fail)
        return worker
      },
    })
  })
  try {
    await Promise.race([start(), failure])
  } finally {
    globalThis.Worker = Worker
  }
}
