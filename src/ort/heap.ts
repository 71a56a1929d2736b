/**
 * The memory of ONNX Runtime's WebAssembly module. Its API does not tell how large it is, so the constructor of WebAssembly
 * memories is watched while the module starts. It must never touch what is in the memory.
 */

/** Runs `start` and also returns the latest non-empty memory created during it, if there was one. */
export async function watchMemory<T>(
  start: () => Promise<T>,
): Promise<{ readonly value: T; readonly memory: WebAssembly.Memory | undefined }> {
  const { Memory } = WebAssembly
  let memory: WebAssembly.Memory | undefined
  WebAssembly.Memory = new Proxy(Memory, {
    construct(target, [descriptor]: [WebAssembly.MemoryDescriptor]) {
      const created = new target(descriptor)
      if (descriptor.initial > 0) memory = created
      return created
    },
  })
  try {
    const value = await start()
    return { value, memory }
  } finally {
    WebAssembly.Memory = Memory
  }
}
