import { expect, test } from 'vitest'
import { Arena, plannedBytes } from '../../src/gpu/arena.ts'
import { openDevice } from '../../src/gpu/device.ts'
import { sharedGpu } from '../helpers/gpuDevice.ts'

test('an adapter is there and says what it is', async () => {
  const { adapter } = await sharedGpu()
  expect(typeof adapter.software).toBe('boolean')
  console.log('adapter:', adapter)
})

test('no WebGPU at all is BACKEND_UNAVAILABLE with advice', async () => {
  await expect(openDevice({ gpu: undefined })).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
})

test('planned bytes are allocated bytes, and a sealed arena allocates nothing more', async () => {
  const { device } = await sharedGpu()
  const arena = new Arena(device)
  const plans = [
    { name: 'rows', bytes: 1001, use: 'storage' },
    { name: 'pass', bytes: 20, use: 'uniform' },
    { name: 'answers', bytes: 64, use: 'readback' },
  ] as const
  await arena.allocate(plans)
  expect(arena.allocatedBytes).toBe(plannedBytes(plans))
  arena.seal()
  await expect(arena.allocate([{ name: 'late', bytes: 4, use: 'storage' }])).rejects.toThrow(/sealed/)
  arena.dispose()
})

test('a buffer over the limit is LIMIT_EXCEEDED and names the knob before anything is created', async () => {
  const { device } = await sharedGpu()
  const arena = new Arena(device)
  const bytes = device.limits.maxStorageBufferBindingSize + 4
  const plan = { name: 'kv', bytes, use: 'storage', knob: 'kvCacheTokens' } as const
  await expect(arena.allocate([plan])).rejects.toMatchObject({ code: 'LIMIT_EXCEEDED', message: /kvCacheTokens/ })
  expect(arena.allocatedBytes).toBe(0)
})
