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
/**
 * The slower program is repeated until it takes this long: else what it takes to submit would be measured, on clocks as coarse
 * as a millisecond (browsers coarsen them).
 */
const LONG_MS = 8
const MOST_REPEATS = 256
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
  const round = async (repeats: number) => ({
    serial: await bench.time(repeat(serial, repeats), counts),
    workgroup: await bench.time(repeat(workgroup, repeats), counts),
  })
  let repeats = 1
  let best = await round(repeats)
  while (Math.max(best.serial, best.workgroup) < LONG_MS && repeats < MOST_REPEATS) {
    repeats *= 4
    best = await round(repeats)
  }
  for (let rounds = 1; rounds < ROUNDS; rounds++) {
    const ratio = best.workgroup / best.serial
    if (rounds >= CLEAR_ROUNDS && Math.max(ratio, 1 / ratio) > CLEAR_RATIO) break
    const next = await round(repeats)
    best = {
      serial: Math.min(best.serial, next.serial),
      workgroup: Math.min(best.workgroup, next.workgroup),
    }
  }
  return best.serial < best.workgroup ? SERIAL_KERNELS : WORKGROUP_KERNELS
}

/** Compiles the measured ops of a set and runs them once: a first run may still compile. */
async function prepare(bench: TuningBench, kernels: KernelSet, counts: StepCounts): Promise<readonly Dispatch[]> {
  const program = await bench.build(targetOps({ ...bench.model, kernels }), MEASURED)
  await bench.run(program, counts)
  return program
}

function repeat(program: readonly Dispatch[], times: number): readonly Dispatch[] {
  return Array.from({ length: times }, () => program).flat()
}
