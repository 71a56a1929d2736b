/** Zero allocation after load: what a step creates, submits and holds, counted on the device itself. */

import { expect, test } from 'vitest'
import { type GpuEngine, type TestRequest, withEngine } from '../../helpers/gpuEngine.ts'
import { randomInts, seededRandom } from '../../helpers/kernelHarness.ts'

const CREATORS = [
  'createBuffer',
  'createBindGroup',
  'createComputePipeline',
  'createComputePipelineAsync',
  'createShaderModule',
  'createTexture',
] as const

/** Calls of the device's creators and of `queue.submit` while `use` runs. */
async function countCalls(device: GPUDevice, use: () => Promise<void>): Promise<Record<string, number>> {
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

/** Keeps about a dozen requests going, of every length, greedy and sampled, and aborts some. */
async function mixedSteps(engine: GpuEngine, steps: number): Promise<void> {
  const random = seededRandom(11)
  const live: number[] = []
  const start = engine.records.length
  while (engine.records.length < start + steps) {
    while (live.length < 12) live.push(engine.add(randomRequest(random, live.length)))
    if (random() < 0.05) engine.core.abort(live[Math.floor(random() * live.length)] as number)
    await engine.core.step()
    for (const id of live.filter((each) => engine.ends.has(each))) live.splice(live.indexOf(id), 1)
  }
}

function randomRequest(random: () => number, salt: number): TestRequest {
  const prompt = [...randomInts(Math.floor(random() * 2 ** 31) + salt, 1 + Math.floor(random() * 60), 512)]
  const cuts = random() < 0.5 ? {} : { temperature: 1, topK: 30, topP: 0.9, seed: Math.floor(random() * 1e9) }
  const penalties = random() < 0.6 ? {} : { repetitionPenalty: 1.2, frequencyPenalty: 0.3, minP: 0.01 }
  const sampling = { ...cuts, ...penalties }
  return { prompt, maxTokens: 1 + Math.floor(random() * 40), sampling }
}

test('200 mixed steps create nothing and submit once each, preemptions included', async () => {
  const sizes = { maxNumBatchedTokens: 48, kvCacheTokens: 384, maxModelLen: 128, drafts: 3 }
  await withEngine('qwen3-mtp', sizes, async (engine) => {
    const { device } = engine.runner.parts.gpu
    const bytes = engine.runner.allocatedBytes
    const counts = await countCalls(device, () => mixedSteps(engine, 200))
    expect(counts).toEqual({ ...Object.fromEntries(CREATORS.map((name) => [name, 0])), submit: engine.records.length })
    expect(engine.runner.allocatedBytes).toBe(bytes)
    expect(engine.records.some((record) => record.preempted > 0)).toBe(true)
    expect(engine.records.some((record) => record.acceptedDrafts > 0 && record.prefillRows > 0)).toBe(true)
    for (const record of engine.records) {
      const rows = record.baseRows + record.draftRows + record.prefillRows
      expect(rows).toBeLessThanOrEqual(record.limit)
      expect(record.chargedRows).toBe(rows)
    }
  })
})

test('planned bytes are allocated bytes, and the arena is sealed', async () => {
  for (const drafts of [undefined, 2]) {
    const overrides = { kvCacheDtype: 'f32', ...(drafts === undefined ? {} : { drafts }) } as const
    await withEngine('fairy-tales', overrides, async (engine) => {
      const { arena } = engine.runner.parts
      expect(engine.runner.allocatedBytes).toBe(engine.runner.plannedBytes)
      await expect(arena.allocate([{ name: 'late', bytes: 4, use: 'storage' }])).rejects.toThrow(/sealed/)
      expect(engine.runner.batchInvariant).toBe(true)
    })
  }
})
