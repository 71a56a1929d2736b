/**
 * Chooses between the two kernel sets by a short measurement at load. A barrier can cost a hundred times more on a
 * software adapter than on a GPU, and the adapter's name does not tell which.
 */

import { targetOps } from './forward.ts'
import { type KernelSet, SERIAL_KERNELS, WORKGROUP_KERNELS } from './kernelSet.ts'
import type { Dispatch } from './program.ts'
import type { StepCounts } from './stepCounts.ts'
import type { TuningBench } from './tuningBench.ts'

/** The ops measured: rmsNorm, where barriers weigh most, and a matrix product, where most of a step's time goes. */
const MEASURED = ['layer0.inputNorm', 'layer0.qkv']

/** rows of the measured step: the variants differ most at the small batch sizes of decoding */
const ROWS = 8
/**
 * The program is repeated until the slower variant takes this long. Otherwise submission overhead would dominate, and
 * browsers may coarsen clocks to a millisecond.
 */
const LONG_MS = 8
const MOST_REPEATS = 256
/** Alternating rounds, of which the minimum counts: noise only ever makes a round slower. */
const ROUNDS = 5
const CLEAR_ROUNDS = 2
const CLEAR_RATIO = 4

/** Measures both kernel sets on this device and returns the faster one. */
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

/** Compiles the measured ops of a kernel set and runs them once, because drivers may compile lazily at the first run. */
async function prepare(bench: TuningBench, kernels: KernelSet, counts: StepCounts): Promise<readonly Dispatch[]> {
  const program = await bench.build(targetOps({ ...bench.model, kernels }), MEASURED)
  await bench.run(program, counts)
  return program
}

function repeat(program: readonly Dispatch[], times: number): readonly Dispatch[] {
  return Array.from({ length: times }, () => program).flat()
}
