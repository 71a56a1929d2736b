/** No growth: what a long run on the processor leaves in ONNX Runtime's memory and in the JavaScript heap. */

import { expect, test } from 'vitest'
import { randomInts, seededRandom } from '../helpers/random.ts'
import { type TestEngine, type TestRequest, withEngine } from '../helpers/testEngine.ts'

const SIZES = { maxNumBatchedTokens: 64, kvCacheTokens: 512, maxModelLen: 128, drafts: 2 }
const STEPS = 5000
/** of one window of steps; a leak of an array per step would be far more */
const SLACK_BYTES = 4 * 1024 * 1024

/** Keeps up to a dozen requests going, with pauses in which all end, so that steps have 1 to B rows. */
async function run(engine: TestEngine, steps: number, random: () => number): Promise<void> {
  const start = engine.records.length
  while (engine.records.length < start + steps) {
    const burst = 1 + Math.floor(random() * 12)
    for (let index = 0; index < burst; index++) engine.add(randomRequest(random))
    while (engine.core.hasWork() && engine.records.length < start + steps) await engine.core.step()
  }
}

function randomRequest(random: () => number): TestRequest {
  const prompt = [...randomInts(Math.floor(random() * 2 ** 31), 1 + Math.floor(random() * 60), 512)]
  const sampling = random() < 0.5 ? {} : { temperature: 1, topK: 30, topP: 0.9, seed: Math.floor(random() * 1e9) }
  return { prompt, maxTokens: 1 + Math.floor(random() * 60), sampling }
}

/** Bytes of live objects and of the arrays outside the heap. */
function heapBytes(): number {
  if (!globalThis.gc) throw new Error('run with --expose-gc')
  globalThis.gc()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

test('5,000 steps of 1 to B rows leave both memories as they were', async () => {
  const debug = { logits: 'off', steps: false, trace: false } as const
  await withEngine('qwen3-mtp', { ...SIZES, debug }, async (engine) => {
    const random = seededRandom(3)
    const rows = new Set<number>()
    const measure = async (steps: number): Promise<{ runner: number; heap: number }> => {
      await run(engine, steps, random)
      for (const { baseRows, draftRows, prefillRows } of engine.records) rows.add(baseRows + draftRows + prefillRows)
      engine.records.length = 0
      engine.ends.clear()
      return { runner: engine.runner.allocatedBytes, heap: heapBytes() }
    }
    const before = await measure(STEPS / 5)
    const after = await measure((4 * STEPS) / 5)
    expect(after.runner).toBe(before.runner)
    expect(after.heap - before.heap).toBeLessThan(SLACK_BYTES)
    expect(Math.min(...rows)).toBe(1)
    expect(Math.max(...rows)).toBe(64)
    expect(rows.size).toBeGreaterThan(40)
  })
})
