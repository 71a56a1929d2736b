/** The arena against a device that refuses: what a real one does seldom, and never on purpose. */

import { expect, test } from 'vitest'
import { Arena, type BufferPlan } from '../../src/gpu/arena.ts'

const PLANS: readonly BufferPlan[] = [
  { name: 'weights', bytes: 1000, use: 'storage' },
  { name: 'kv.0', bytes: 5000, use: 'storage', knob: 'kvCacheTokens' },
  { name: 'passes', bytes: 20, use: 'uniform' },
]

/** Answers error scopes with `errors` by filter; counts what is open and what was destroyed. */
function refusingDevice(errors: { readonly [filter: string]: string }, maxBufferSize = 1 << 20) {
  const scopes: string[] = []
  const log = { created: 0, destroyed: 0, open: () => scopes.length }
  const limits = { maxBufferSize, maxStorageBufferBindingSize: 1 << 20, maxUniformBufferBindingSize: 1 << 16 }
  const device = {
    limits,
    pushErrorScope: (filter: string) => scopes.push(filter),
    popErrorScope: async () => {
      const message = errors[scopes.pop() ?? '']
      return message === undefined ? null : { message }
    },
    createBuffer: ({ size }: { size: number }) => {
      log.created++
      return { size, destroy: () => log.destroyed++ }
    },
    createCommandEncoder: () => ({ clearBuffer: () => {}, finish: () => ({}) }),
    queue: { submit: () => {}, onSubmittedWorkDone: async () => {} },
  }
  return { arena: new Arena(device as unknown as ConstructorParameters<typeof Arena>[0]), log }
}

test('a refused allocation is OUT_OF_MEMORY, naming the largest buffer and its knob; nothing stays', async () => {
  const { arena, log } = refusingDevice({ 'out-of-memory': 'no more\n  at some place in a driver' })
  await expect(arena.allocate(PLANS)).rejects.toMatchObject({
    code: 'OUT_OF_MEMORY',
    message: 'the device refused 6032 bytes (no more); the largest is "kv.0", lower kvCacheTokens',
    details: { bytes: 6032 },
  })
  expect(log.open()).toBe(0)
  arena.dispose()
  expect(log.destroyed).toBe(log.created)
})

test('a buffer over a limit is LIMIT_EXCEEDED before anything is created', async () => {
  const { arena, log } = refusingDevice({}, 4096)
  await expect(arena.allocate(PLANS)).rejects.toMatchObject({
    code: 'LIMIT_EXCEEDED',
    details: { buffer: 'kv.0', bytes: 5000, limit: 4096 },
  })
  expect(log.created).toBe(0)
})

test('a name is planned once, and no error scope stays open', async () => {
  const { arena, log } = refusingDevice({})
  await arena.allocate(PLANS)
  await expect(arena.allocate(PLANS.slice(0, 1))).rejects.toMatchObject({ code: 'INTERNAL' })
  expect(log.open()).toBe(0)
})

test('what is never bound may be larger than a binding', async () => {
  const { arena } = refusingDevice({}, 1 << 24)
  const answers = { name: 'answers', bytes: (1 << 20) + 4 }
  await arena.allocate([{ ...answers, use: 'readback' }])
  await expect(arena.allocate([{ ...answers, name: 'rows', use: 'storage' }])).rejects.toMatchObject({
    code: 'LIMIT_EXCEEDED',
    details: { limit: 1 << 20 },
  })
})
