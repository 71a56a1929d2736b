/**
 * A program: the dispatches of a step in order, with pipelines and bind groups made at load. A step only chooses the grid of
 * each, so encoding allocates nothing. It must never know the model.
 */

import type { Gpu } from '../gpu/device.ts'
import { bindGroups, type CompiledKernel, type PipelineCache, type Resources } from '../gpu/kernel.ts'
import type { Grid, KernelVariant } from '../kernels/variant.ts'
import { WeirError } from '../protocol/errors.ts'
import type { StepCounts } from './stepCounts.ts'

/** One dispatch to be, before its pipeline is compiled. */
export interface Op {
  /** where it stands in the model, for traces: `layer0.qkv` */
  readonly label: string
  readonly resources: Resources
  compile(pipelines: PipelineCache): Promise<CompiledKernel>
  /** workgroups for a step; undefined: nothing to do */
  grid(counts: StepCounts): Grid | undefined
}

export interface Dispatch {
  readonly label: string
  readonly pipeline: GPUComputePipeline
  readonly groups: readonly GPUBindGroup[]
  grid(counts: StepCounts): Grid | undefined
}

/** An op: `variant` on `shape`, over as many rows as `rowsOf` counts. */
export function op<Shape>(
  label: string,
  variant: KernelVariant<Shape>,
  shape: Shape,
  rowsOf: (counts: StepCounts) => number,
  resources: Resources,
): Op {
  return {
    label,
    resources,
    compile: (pipelines) => pipelines.compile(variant.kernel, variant.specialise(shape)),
    grid: (counts) => {
      const rows = rowsOf(counts)
      return rows > 0 ? variant.grid(shape, rows) : undefined
    },
  }
}

/** Dispatches that run as one compute pass. */
export interface StepPass {
  readonly dispatches: readonly Dispatch[]
  readonly descriptor: GPUComputePassDescriptor | undefined
  /** Whether any of them has anything to do. Asking each takes the host long: a step leaves its caches cold. */
  runs(counts: StepCounts): boolean
}

/** Compiles the ops, together, and binds their buffers. */
export async function buildProgram(
  { device, pipelines }: Gpu,
  ops: readonly Op[],
  onCompiled: (done: number, total: number) => void = () => {},
): Promise<Dispatch[]> {
  let done = 0
  const compiled = await Promise.all(
    ops.map(async (each) => {
      const kernel = await each.compile(pipelines)
      onCompiled(++done, ops.length)
      return kernel
    }),
  )
  return ops.map((each, index) => {
    const kernel = compiled[index] as CompiledKernel
    return {
      label: each.label,
      pipeline: kernel.pipeline,
      groups: bindGroups(device, kernel, each.resources),
      grid: each.grid,
    }
  })
}

/** @throws LIMIT_EXCEEDED when a step of these counts, the largest there can be, would not fit the adapter's grid. */
export function checkGrids(ops: readonly Op[], most: StepCounts, limits: GPUSupportedLimits): void {
  const limit = limits.maxComputeWorkgroupsPerDimension
  for (const { label, grid } of ops) {
    const workgroups = Math.max(...(grid(most) ?? []))
    if (workgroups > limit) {
      throw new WeirError(
        'LIMIT_EXCEEDED',
        `${label} may take ${workgroups} workgroups in a dimension, this adapter allows ${limit}; lower maxNumBatchedTokens`,
        { op: label, workgroups, limit },
      )
    }
  }
}

/**
 * Encodes the dispatches of one step, or some of them, into one compute pass.
 * @returns whether any runs; there is no pass where none does
 */
export function encodeProgram(
  encoder: GPUCommandEncoder,
  program: readonly Dispatch[],
  counts: StepCounts,
  descriptor?: GPUComputePassDescriptor,
): boolean {
  let pass: GPUComputePassEncoder | undefined
  for (const dispatch of program) {
    const grid = dispatch.grid(counts)
    if (!grid) continue
    pass ??= encoder.beginComputePass(descriptor)
    pass.setPipeline(dispatch.pipeline)
    for (let group = 0; group < dispatch.groups.length; group++) {
      pass.setBindGroup(group, dispatch.groups[group] as GPUBindGroup)
    }
    pass.dispatchWorkgroups(grid[0], grid[1], grid[2])
  }
  pass?.end()
  return pass !== undefined
}
