/**
 * Watches what ONNX Runtime constructs while it starts, because its API tells neither: the memory of its WebAssembly module, to
 * know its size later, and the workers of its threads, whose failure it waits out for ever. It must never touch either.
 */

export interface Started {
  /** the latest memory made that is not empty */
  readonly memory: WebAssembly.Memory | undefined
}

/**
 * Runs `start`, during which nothing else may make memories or workers.
 * @throws what `start` throws, or an error as soon as the worker of a thread fails
 */
export async function watchStart(start: () => Promise<void>): Promise<Started> {
  const { Memory } = WebAssembly
  const { Worker } = globalThis
  let memory: WebAssembly.Memory | undefined
  WebAssembly.Memory = watched(Memory, (made) => {
    if (made.buffer.byteLength > 0) memory = made
  })
  const failure = new Promise<never>((_, reject) => {
    if (!Worker) return
    globalThis.Worker = watched(Worker, (made) => {
      made.addEventListener('error', ({ message }) => reject(new Error(threadFailure(message))))
    })
  })
  try {
    await Promise.race([start(), failure])
    return { memory }
  } finally {
    WebAssembly.Memory = Memory
    if (Worker) globalThis.Worker = Worker
  }
}

/** @param message '' where the file did not load */
function threadFailure(message: string): string {
  const reason = message || 'its file did not load'
  return `a thread failed (${reason}): serve every file with the Cross-Origin-Embedder-Policy of the page, or set numThreads to 1`
}

/** The constructor, calling `made` with each object it makes. */
function watched<Made extends object, Arguments extends unknown[]>(
  original: { new (...args: Arguments): Made; prototype: Made },
  made: (object: Made) => void,
): { new (...args: Arguments): Made; prototype: Made } {
  return new Proxy(original, {
    construct(target, args: Arguments) {
      const object = new target(...args)
      made(object)
      return object
    },
  })
}
