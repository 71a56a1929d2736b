/**
 * One way to run an operation on the GPU. Variants of an operation take the same resources by name and give the same bits
 * (`shaders/ORDER.md`), so that a measurement at load may choose among them.
 */

import type { Kernel, Specialisation } from '../gpu/kernel.ts'

/** Workgroups in x, y, z. */
export type Grid = readonly [number, number, number]

export interface KernelVariant<Shape> {
  /** `workgroup`: lanes share a row and synchronise with barriers; `serial`: one invocation per output, no barrier */
  readonly name: 'workgroup' | 'serial'
  readonly kernel: Kernel
  specialise(shape: Shape): Specialisation
  /** Workgroups for `rows` rows; each operation defines what a row is. */
  grid(shape: Shape, rows: number): Grid
}
