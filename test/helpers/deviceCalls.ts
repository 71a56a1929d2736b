/** Counts what is asked of a device while something runs: an engine that was loaded creates nothing. */

export const CREATORS = [
  'createBuffer',
  'createBindGroup',
  'createComputePipeline',
  'createComputePipelineAsync',
  'createShaderModule',
  'createTexture',
  'createQuerySet',
] as const

/** The counts of a run that submits so often and creates nothing. */
export function submitsOnly(submit: number): Record<string, number> {
  return { ...Object.fromEntries(CREATORS.map((name) => [name, 0])), submit }
}

/** Calls of the device's creators and of `queue.submit` while `use` runs. */
export async function countCalls(device: GPUDevice, use: () => Promise<void>): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  const watch = <T extends object>(owner: T, name: keyof T & string): (() => void) => {
    const original = owner[name]
    counts[name] = 0
    Object.defineProperty(owner, name, {
      configurable: true,
      value: (...args: unknown[]) => {
        counts[name] = (counts[name] ?? 0) + 1
        return Reflect.apply(original as (...all: unknown[]) => unknown, owner, args)
      },
    })
    return () => Reflect.deleteProperty(owner, name)
  }
  const restore = [...CREATORS.map((name) => watch(device, name)), watch(device.queue, 'submit')]
  try {
    await use()
  } finally {
    for (const each of restore) each()
  }
  return counts
}
