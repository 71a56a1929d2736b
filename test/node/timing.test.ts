/** The time of a step on the GPU: which passes are encoded, what a step creates, and which marks are believed. */

import fc from 'fast-check'
import { describe, expect, it, onTestFinished } from 'vitest'
import { passTimes } from '../../src/gpu/timing.ts'
import { createGpuRunner } from '../../src/runner/createGpuRunner.ts'
import type { GpuRunner } from '../../src/runner/gpuRunner.ts'
import { SERIAL_KERNELS } from '../../src/runner/kernelSet.ts'
import { engineOptions, mtp } from '../helpers/coreFixtures.ts'
import { countCalls, submitsOnly } from '../helpers/deviceCalls.ts'
import { FakeGpu, type FakeGpuOptions } from '../helpers/fakeGpu.ts'
import { openTestModel } from '../helpers/openTestModel.ts'
import { promptPlan } from '../helpers/promptPlan.ts'

interface Loaded {
  readonly fake: FakeGpu
  readonly runner: GpuRunner
}

interface Setting extends FakeGpuOptions {
  readonly drafts?: number
  readonly logits?: 'digest'
}

async function load({ drafts, logits, ...gpu }: Setting): Promise<Loaded> {
  const fake = new FakeGpu(gpu)
  const { spec, weights } = await openTestModel('qwen3-mtp')
  const runner = await createGpuRunner({
    gpu: await fake.open(),
    spec,
    options: engineOptions({
      speculative: drafts === undefined ? undefined : mtp(drafts),
      debug: { logits: logits ?? 'off', steps: false, trace: false },
    }),
    weights,
    now: () => 0,
    kernels: SERIAL_KERNELS,
  })
  onTestFinished(() => runner.dispose())
  fake.submits.length = 0
  return { fake, runner }
}

/**
 * Nothing is computed, so every answer is zeros: those of step 0.
 * @param follows whether the drafter runs
 */
async function timesOf({ runner }: Loaded, follows = false) {
  const { ms } = await runner.submit(promptPlan(0, [1, 2, 3], follows))
  return ms
}

const UNTIMED = { encode: 0, wait: 0 }

describe('without timestamps', () => {
  it('the record of a step says nothing of the GPU', async () => {
    const loaded = await load({ timestamps: false, drafts: 2 })
    expect(await timesOf(loaded, true)).toEqual(UNTIMED)
    expect(loaded.fake.submits.flat().some(({ timed }) => timed)).toBe(false)
    expect(loaded.fake.querySets).toEqual([])
  })

  it.each([
    ['where a driver has no room for the queries', { noQueries: true }],
    ['where a browser throws for them', { throwsQueries: true }],
  ])('or %s, all else is the same', async (_, fault) => {
    const loaded = await load({ timestamps: true, ...fault })
    expect(await timesOf(loaded)).toEqual(UNTIMED)
    expect(loaded.fake.submits).toEqual([[{ timed: false, dispatches: expect.any(Number) }]])
  })
})

describe('with timestamps', () => {
  it('a step is a pass of the target and one of the drafter, as without', async () => {
    const loaded = await load({ timestamps: true, drafts: 2 })
    const untimed = await load({ timestamps: false, drafts: 2 })
    const ms = await timesOf(loaded, true)
    await timesOf(untimed, true)
    expect(ms).toEqual({ ...UNTIMED, gpu: 0.002, draft: 0.001 })
    const [passes = []] = loaded.fake.submits
    expect(passes.map(({ timed }) => timed)).toEqual([true, true])
    const [target = 0, drafter = 0] = passes.map(({ dispatches }) => dispatches)
    expect(drafter).toBeGreaterThan(0)
    expect(target).toBeGreaterThan(drafter)
    expect(untimed.fake.submits[0]?.map(({ dispatches }) => dispatches)).toEqual([target, drafter])
  })

  it.each([
    ['without a drafter', {}],
    ['in which the drafter does nothing', { drafts: 2 }],
  ])('a step %s is one pass, and drafting takes no time', async (_what, drafts) => {
    const loaded = await load({ timestamps: true, ...drafts })
    expect(await timesOf(loaded)).toEqual({ ...UNTIMED, gpu: 0.001, draft: 0 })
    expect(loaded.fake.submits).toEqual([[{ timed: true, dispatches: expect.any(Number) }]])
  })

  it('a step without drafts takes no marks of the one before', async () => {
    const loaded = await load({ timestamps: true, drafts: 2 })
    expect(await timesOf(loaded, true)).toEqual({ ...UNTIMED, gpu: 0.002, draft: 0.001 })
    expect(await timesOf(loaded)).toEqual({ ...UNTIMED, gpu: 0.001, draft: 0 })
  })

  it('the marks follow whatever else an answer holds', async () => {
    const loaded = await load({ timestamps: true, drafts: 1, logits: 'digest' })
    expect(await timesOf(loaded, true)).toMatchObject({ gpu: 0.002 })
  })

  it('steps in flight together have each its own times', async () => {
    // Step i: its target takes i µs, its drafter 10 µs.
    const ends = [1, 2, 3, 4, 5].flatMap((i) => [100 * i, 101 * i, 101 * i + 10])
    const clock = () => BigInt(1000 * (ends.shift() ?? 0))
    const { runner } = await load({ timestamps: true, drafts: 1, clock })
    const outputs = await Promise.all(Array.from({ length: 5 }, () => runner.submit(promptPlan(0, [1, 2, 3], true))))
    expect(outputs.map(({ ms }) => ms.gpu)).toEqual([0.011, 0.012, 0.013, 0.014, 0.015])
    expect(outputs.map(({ ms }) => ms.draft)).toEqual(Array(5).fill(0.01))
  })

  it('a step creates nothing and submits once', async () => {
    const loaded = await load({ timestamps: true, drafts: 2 })
    const { device } = loaded.runner.parts.gpu
    const counts = await countCalls(device, async () => {
      for (const follows of [true, false, true]) await timesOf(loaded, follows)
    })
    expect(counts).toEqual(submitsOnly(3))
    expect(loaded.fake.querySets).toHaveLength(1)
    loaded.runner.dispose()
    expect(loaded.fake.querySets.map(({ destroyed }) => destroyed)).toEqual([true])
  })
})

it('the bytes of a step are planned before it is known whether a device has timestamps', async () => {
  for (const drafts of [{}, { drafts: 3 }]) {
    const planned = new Set<number>()
    for (const timestamps of [true, false]) {
      const { runner } = await load({ timestamps, ...drafts })
      expect(runner.allocatedBytes).toBe(runner.plannedBytes)
      planned.add(runner.plannedBytes)
    }
    expect(planned.size).toBe(1)
  }
})

describe('marks', () => {
  it.each<[string, readonly bigint[], object]>([
    ['that were not written are no time', [0n, 0n, 0n], UNTIMED],
    ['of which the first was not written are no time', [0n, 5n, 9n], UNTIMED],
    ['of which the last was not written are no time', [5n, 9n, 0n], UNTIMED],
    ['that run backwards are no time', [9n, 5n, 12n], UNTIMED],
    ['that run backwards in the drafter are no time', [5n, 12n, 9n], UNTIMED],
    ['too coarse to tell are 0', [100_000n, 100_000n, 100_000n], { ...UNTIMED, gpu: 0, draft: 0 }],
    ['of a clock of 100 µs are as coarse', [100_000n, 300_000n, 400_000n], { ...UNTIMED, gpu: 0.3, draft: 0.1 }],
  ])('%s', async (_what, marks, ms) => {
    const left = [...marks]
    const loaded = await load({ timestamps: true, drafts: 1, clock: () => left.shift() ?? 0n })
    expect(await timesOf(loaded, true)).toEqual(ms)
  })

  it('are 64 bits wide, and their differences lose no digit', () => {
    const nanoseconds = fc.bigInt({ min: 0n, max: 2n ** 40n })
    fc.assert(
      fc.property(fc.bigInt({ min: 1n, max: 2n ** 62n }), nanoseconds, nanoseconds, (begin, target, drafter) => {
        const marks = new BigUint64Array([begin, begin + target, begin + target + drafter])
        expect(passTimes(new Uint32Array(marks.buffer))).toEqual([Number(target), Number(drafter)])
      }),
    )
  })

  it('that are missing are no time', () => {
    expect(passTimes(new Uint32Array(0))).toBeUndefined()
  })
})
