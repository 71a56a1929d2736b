/** What the tests of the GPU's own runner need beside the engine: its parts, and a choice of kernels. */

import { createGpuRunner } from '../../src/runner/createGpuRunner.ts'
import { GpuRunner, type GpuRunnerParts } from '../../src/runner/gpuRunner.ts'
import type { KernelSet } from '../../src/runner/kernelSet.ts'
import { sharedGpu } from './gpuDevice.ts'
import type { EngineCreate, TestEngine } from './testEngine.ts'

export function gpuRunner({ runner }: TestEngine): GpuRunner {
  if (runner instanceof GpuRunner) return runner
  throw new Error('the engine runs on another backend')
}

export function gpuParts(engine: TestEngine): GpuRunnerParts {
  return gpuRunner(engine).parts
}

/** For `withEngine`: these kernels in place of the measured ones. */
export function withKernels(kernels: KernelSet): EngineCreate {
  return async (from) => createGpuRunner({ ...from, gpu: await sharedGpu(), kernels })
}
