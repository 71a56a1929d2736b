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
/** a program shorter than this is repeated, or what it takes to submit it would be measured */
const SHORT_MS = 2
const REPEATS = 16
/** Rounds in turn, of which the best counts: a pause of the machine makes one slow, never fast. */
const ROUNDS = 5
const CLEAR_ROUNDS = 2
const CLEAR_RATIO = 4

/** The set of kernels that is faster on this device. */
export async function chooseKernels(bench: TuningBench): Promise<KernelSet> {
  const rows = Math.min(ROWS, bench.model.geometry.rows)
  const counts = bench.upload.write(bench.plan(new Array<number>(rows).fill(0), 0))
  const serial = await prepare(bench, SERIAL_KERNELS, counts)
  const workgroup = await prepare(bench, WORKGROUP_KERNELS, counts)
  const repeats = Math.max(serial.once, workgroup.once) < SHORT_MS ? REPEATS : 1
  const best = { serial: Number.POSITIVE_INFINITY, workgroup: Number.POSITIVE_INFINITY }
  for (let round = 0; round < ROUNDS; round++) {
    best.serial = Math.min(best.serial, await bench.time(repeat(serial.program, repeats), counts))
    best.workgroup = Math.min(best.workgroup, await bench.time(repeat(workgroup.program, repeats), counts))
    const ratio = best.workgroup / best.serial
    if (round + 1 >= CLEAR_ROUNDS && Math.max(ratio, 1 / ratio) > CLEAR_RATIO) break
  }
  return best.serial <= best.workgroup ? SERIAL_KERNELS : WORKGROUP_KERNELS
}

/** Compiles the measured ops of a set and runs them: the first run may still compile, the second gives a first figure. */
async function prepare(
  bench: TuningBench,
  kernels: KernelSet,
  counts: StepCounts,
): Promise<{ readonly program: readonly Dispatch[]; readonly once: number }> {
  const program = await bench.build(targetOps({ ...bench.model, kernels }), MEASURED)
  await bench.run(program, counts)
  return { program, once: await bench.time(program, counts) }
}

function repeat(program: readonly Dispatch[], times: number): readonly Dispatch[] {
  return Array.from({ length: times }, () => program).flat()
}
