/**
 * Chooses between the two sets of kernels by a short measurement at load. On a software adapter barriers cost a hundred times
 * what they do on a GPU, so no table of adapters would do.
 */

import { targetOps } from './forward.ts'
import { type KernelSet, SERIAL_KERNELS, WORKGROUP_KERNELS } from './kernelSet.ts'
import type { Dispatch } from './program.ts'
import type { StepCounts } from './stepCounts.ts'
import type { TuningBench } from './tuningBench.ts'

/** The ops measured: where a barrier costs most, and where the time of a step goes. */
const MEASURED = ['layer0.inputNorm', 'layer0.qkv']

/** rows of the measured step: the small batches of decoding are where the variants differ most */
const ROWS = 8
/** a run longer than this says enough alone */
const LONG_MS = 4
const REPEATS = 16

/** The set of kernels that is faster on this device. */
export async function chooseKernels(bench: TuningBench): Promise<KernelSet> {
  const rows = Math.min(ROWS, bench.model.geometry.rows)
  const counts = bench.upload.write(bench.plan(new Array<number>(rows).fill(0), 0))
  const [serial, workgroup] = await Promise.all(
    [SERIAL_KERNELS, WORKGROUP_KERNELS].map((kernels) => bench.build(targetOps({ ...bench.model, kernels }), MEASURED)),
  )
  const serialTime = await measure(bench, serial ?? [], counts, Number.POSITIVE_INFINITY)
  const workgroupTime = await measure(bench, workgroup ?? [], counts, serialTime)
  return serialTime <= workgroupTime ? SERIAL_KERNELS : WORKGROUP_KERNELS
}

/** Milliseconds per run, the first not counted; ends early once it is clearly worse than `best`. */
async function measure(
  bench: TuningBench,
  program: readonly Dispatch[],
  counts: StepCounts,
  best: number,
): Promise<number> {
  await bench.run(program, counts)
  const once = await bench.time(program, counts)
  if (once > LONG_MS || once > 4 * best + LONG_MS) return once
  const repeated = Array.from({ length: REPEATS }, () => program).flat()
  const first = await bench.time(repeated, counts)
  return Math.min(first, await bench.time(repeated, counts)) / REPEATS
}
