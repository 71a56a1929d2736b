/** Zero allocation after load: what a step creates, submits and holds, counted on the device itself. */

import { expect, test } from 'vitest'
import { countCalls, submitsOnly } from '../../helpers/deviceCalls.ts'
import { gpuParts } from '../../helpers/gpuEngine.ts'
import { randomInts, seededRandom } from '../../helpers/kernelHarness.ts'
import { type TestEngine, type TestRequest, withEngine } from '../../helpers/testEngine.ts'

/** Keeps about a dozen requests going, of every length, greedy and sampled, and aborts some. */
async function mixedSteps(engine: TestEngine, steps: number): Promise<void> {
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

/** Every second prompt begins with one of three prefixes. */
function randomRequest(random: () => number, salt: number): TestRequest {
  const prefix = random() < 0.5 ? [...randomInts(Math.floor(random() * 3), 36, 512)] : []
  const length = 1 + Math.floor(random() * (60 - prefix.length))
  const prompt = [...prefix, ...randomInts(Math.floor(random() * 2 ** 31) + salt, length, 512)]
  const cuts = random() < 0.5 ? {} : { temperature: 1, topK: 30, topP: 0.9, seed: Math.floor(random() * 1e9) }
  const penalties = random() < 0.6 ? {} : { repetitionPenalty: 1.2, frequencyPenalty: 0.3, minP: 0.01 }
  const sampling = { ...cuts, ...penalties }
  return { prompt, maxTokens: 1 + Math.floor(random() * 40), sampling }
}

test('200 mixed steps create nothing and submit once each, preemptions and prefix hits included', async () => {
  const sizes = { maxNumBatchedTokens: 48, kvCacheTokens: 384, maxModelLen: 128, drafts: 3 }
  await withEngine('qwen3-mtp', sizes, async (engine) => {
    const { device } = gpuParts(engine).gpu
    const bytes = engine.runner.allocatedBytes
    const counts = await countCalls(device, () => mixedSteps(engine, 200))
    expect(counts).toEqual(submitsOnly(engine.records.length))
    expect(engine.runner.allocatedBytes).toBe(bytes)
    expect(engine.records.some((record) => record.preempted > 0)).toBe(true)
    expect(engine.records.filter((record) => record.cachedTokens > 0).length).toBeGreaterThan(10)
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
      const { arena, plannedBytes } = gpuParts(engine)
      expect(engine.runner.allocatedBytes).toBe(plannedBytes)
      await expect(arena.allocate([{ name: 'late', bytes: 4, use: 'storage' }])).rejects.toThrow(/sealed/)
      expect(engine.runner.batchInvariant).toBe(true)
    })
  }
})

test('memory for penalties is planned only where requests may have them', async () => {
  const bytes = (penalties: boolean) =>
    withEngine('qwen3-mtp', { penalties }, async (engine) => ({
      planned: gpuParts(engine).plannedBytes,
      options: engine.options,
    }))
  const [without, { planned, options }] = [await bytes(false), await bytes(true)]
  // A word per token and 300 biases; a buffer has 16 bytes at least.
  expect(planned - without.planned).toBe(options.maxNumSeqs * (512 + 300) * 4 - 16)
})
