/** What a runner does when the device or a plan lets it down: nothing hangs, nothing stale is taken for an answer. */

import { expect, test } from 'vitest'
import { type Gpu, openDevice } from '../../../src/gpu/device.ts'
import type { EngineOptions } from '../../../src/protocol/engineOptions.ts'
import { createGpuRunner, type GpuRunnerOptions } from '../../../src/runner/createGpuRunner.ts'
import type { GpuRunner } from '../../../src/runner/gpuRunner.ts'
import { SERIAL_KERNELS } from '../../../src/runner/kernelSet.ts'
import { nodeGpu } from '../../helpers/gpuDevice.ts'
import { openTestModel } from '../../helpers/openTestModel.ts'
import { promptPlan } from '../../helpers/promptPlan.ts'
import { engineOptions } from '../../helpers/testEngine.ts'

/** A device of its own, so that its faults are nobody else's. */
async function withDevice(use: (gpu: Gpu) => Promise<void>): Promise<void> {
  const gpu = await openDevice({ gpu: nodeGpu() })
  await use(gpu).finally(() => gpu.device.destroy())
}

async function load(
  gpu: Gpu,
  options: Partial<EngineOptions> = {},
  control: Pick<GpuRunnerOptions, 'signal' | 'onProgress'> = {},
): Promise<GpuRunner> {
  const { spec, weights } = await openTestModel('qwen3-mtp')
  return createGpuRunner({
    gpu,
    spec,
    options: { ...engineOptions({ drafts: 2 }), ...options },
    weights,
    now: () => performance.now(),
    kernels: SERIAL_KERNELS,
    ...control,
  })
}

test('many steps in flight settle in order, each with its own answer', async () => {
  await withDevice(async (gpu) => {
    const runner = await load(gpu)
    const plans = Array.from({ length: 7 }, (_, index) => promptPlan(index + 1, [index + 3, 5, 2 * index + 1]))
    const alone: number[][] = []
    for (const plan of plans) alone.push((await runner.submit(plan)).requests.flatMap(({ tokens }) => tokens))
    const settled: number[] = []
    const together = await Promise.all(
      plans.map(async (plan) => {
        const output = await runner.submit(plan)
        settled.push(output.step)
        return output.requests.flatMap(({ tokens }) => tokens)
      }),
    )
    expect(together).toEqual(alone)
    expect(settled).toEqual(plans.map(({ step }) => step))
    runner.dispose()
  })
})

test('a plan that cannot be packed keeps no readback buffer', async () => {
  await withDevice(async (gpu) => {
    const runner = await load(gpu)
    const good = promptPlan(1, [1, 2, 3])
    const broken = { ...good, blockWrites: undefined as unknown as [] }
    for (let attempt = 0; attempt < 3; attempt++) await expect(runner.submit(broken)).rejects.toThrow(/iterable/)
    expect((await runner.submit(good)).step).toBe(1)
    runner.dispose()
  })
})

test('a step that the device drops is an error, not the answer of the step before', async () => {
  await withDevice(async (gpu) => {
    const runner = await load(gpu)
    for (const step of [1, 2]) await runner.submit(promptPlan(step, [1, 2, 3]))
    Object.defineProperty(gpu.device.queue, 'submit', { configurable: true, value: () => {} })
    await expect(runner.submit(promptPlan(3, [1, 2, 3]))).rejects.toThrow(/answers step 3, not 1/)
    runner.dispose()
  })
})

test('a command refused while loading fails the load', async () => {
  await withDevice(async (gpu) => {
    const create = gpu.device.createBindGroup.bind(gpu.device)
    const value = (descriptor: GPUBindGroupDescriptor) =>
      create(descriptor.label === 'verifyStep.2' ? { ...descriptor, entries: [] } : descriptor)
    Object.defineProperty(gpu.device, 'createBindGroup', { configurable: true, value })
    await expect(load(gpu)).rejects.toMatchObject({ code: 'INTERNAL', message: /verifyStep/ })
  })
})

test('an abort while kernels compile does not wait for the rest of them', async () => {
  await withDevice(async (gpu) => {
    const controller = new AbortController()
    let compiled = 0
    const onProgress: GpuRunnerOptions['onProgress'] = ({ phase }) => {
      if (phase !== 'compile') return
      compiled++
      controller.abort()
    }
    const loading = load(gpu, {}, { signal: controller.signal, onProgress })
    await expect(loading).rejects.toMatchObject({ code: 'ABORTED' })
    expect(compiled).toBe(1)
  })
})

test('a device that goes away while loading, and while a step is in flight, says so', async () => {
  const gone = { message: 'the device was destroyed' }
  await withDevice(async (gpu) => {
    const loading = expect(load(gpu)).rejects.toMatchObject(gone)
    gpu.device.destroy()
    await loading
  })
  await withDevice(async (gpu) => {
    const runner = await load(gpu)
    const stepping = expect(runner.submit(promptPlan(1, [1, 2, 3]))).rejects.toMatchObject(gone)
    gpu.device.destroy()
    await stepping
    await expect(runner.submit(promptPlan(2, [1, 2, 3]))).rejects.toMatchObject(gone)
  })
})

test('disposing ends a step in flight', async () => {
  await withDevice(async (gpu) => {
    const runner = await load(gpu)
    const stepping = expect(runner.submit(promptPlan(1, [1, 2, 3]))).rejects.toMatchObject({ code: 'DISPOSED' })
    runner.dispose()
    await stepping
  })
})

test('more rows than the adapter can dispatch are refused at load, by the option to lower', async () => {
  await withDevice(async (gpu) => {
    const rows = gpu.device.limits.maxComputeWorkgroupsPerDimension + 1
    await expect(load(gpu, { maxNumBatchedTokens: rows, maxNumSeqs: 1 })).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
      message: /maxNumBatchedTokens/,
    })
  })
})
