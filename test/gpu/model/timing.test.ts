/** The time of a step on the GPU, as the device itself tells it. Nothing is said of how long a step may take. */

import { expect, test } from 'vitest'
import { openDevice } from '../../../src/gpu/device.ts'
import type { StepRecord } from '../../../src/protocol/stepRecord.ts'
import { nodeGpu, sharedGpu } from '../../helpers/gpuDevice.ts'
import { randomInts } from '../../helpers/kernelHarness.ts'
import { withEngine } from '../../helpers/testEngine.ts'

/** The steps of four requests, of a model whose drafts are often right. */
async function steps(drafts: number | undefined): Promise<readonly StepRecord[]> {
  return withEngine('qwen3-mtp', { drafts }, async (engine) => {
    await engine.run([1, 2, 3, 4].map((seed) => ({ prompt: [...randomInts(seed, 20, 512)], maxTokens: 24 })))
    return engine.records
  })
}

function total(records: readonly StepRecord[], of: 'gpu' | 'draft'): number {
  return records.reduce((sum, { ms }) => sum + (ms[of] ?? Number.NaN), 0)
}

test('an adapter that has timestamps is asked for them', async () => {
  const adapter = await nodeGpu().requestAdapter()
  const { device } = await openDevice({ gpu: nodeGpu() })
  expect(device.features.has('timestamp-query')).toBe(adapter?.features.has('timestamp-query'))
  device.destroy()
})

test.each([undefined, 0, 3])(
  '%s drafts: the device tells what a step took, and what of it went to drafts',
  async (drafts) => {
    const { device } = await sharedGpu()
    const records = await steps(drafts)
    if (!device.features.has('timestamp-query')) {
      for (const { ms } of records) expect(Object.keys(ms).sort()).toEqual(['encode', 'schedule', 'update', 'wait'])
      return
    }
    for (const { ms } of records) {
      const { gpu = Number.NaN, draft = Number.NaN } = ms
      expect(Number.isFinite(gpu)).toBe(true)
      expect(draft).toBeGreaterThanOrEqual(0)
      expect(draft).toBeLessThanOrEqual(gpu)
    }
    expect(total(records, 'gpu')).toBeGreaterThan(0)
    if (!drafts) expect(total(records, 'draft')).toBe(0)
    else {
      expect(records.some(({ draftRows }) => draftRows > 0)).toBe(true)
      expect(total(records, 'draft')).toBeGreaterThan(0)
      expect(total(records, 'draft')).toBeLessThan(total(records, 'gpu'))
    }
  },
)
