/**
 * A program is the ordered list of a step's dispatches, with pipelines and bind groups made at load. A step only computes
 * the grid of each, so encoding allocates no GPU resource. It must never know the model.
 */

import type { Gpu } from '../gpu/device.ts'
import { bindGroups, type CompiledKernel, type PipelineCache, type Resources } from '../gpu/kernel.ts'
import type { Grid, KernelVariant } from '../kernels/variant.ts'
import { WeirError } from '../protocol/errors.ts'
import type { StepCounts } from './stepCounts.ts'

/** A dispatch before its pipeline is compiled. */
export interface Op {
  /** its place in the model, for traces: `layer0.qkv` */
  readonly label: string
  readonly resources: Resources
  compile(pipelines: PipelineCache): Promise<CompiledKernel>
  /** workgroups for a step; undefined: the op is not dispatched */
  grid(counts: StepCounts): Grid | undefined
}

export interface Dispatch {
  readonly label: string
  readonly pipeline: GPUComputePipeline
  readonly groups: readonly GPUBindGroup[]
  grid(counts: StepCounts): Grid | undefined
}

/** An op that runs `variant` with `shape` over `rowsOf(counts)` rows. */
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
  /** Whether any dispatch runs. One predicate for the pass: asking every dispatch costs measurable host time. */
  runs(counts: StepCounts): boolean
}

/** Compiles all ops concurrently and binds their buffers. */
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

/** @throws LIMIT_EXCEEDED when the largest possible step (`most`) would exceed the adapter's workgroups per dimension */
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
 * Encodes dispatches of one step into one compute pass.
 * @returns whether any runs; no compute pass is begun otherwise
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
