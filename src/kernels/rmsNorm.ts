/** Host half of `rmsNorm`: 16 lanes per row. Also the parts shared by its variants. */

import order from '../../shaders/lib/order.wgsl?raw'
import pass from '../../shaders/lib/pass.wgsl?raw'
import requestTable from '../../shaders/lib/requestTable.wgsl?raw'
import source from '../../shaders/rmsNorm.wgsl?raw'
import type { Kernel, Specialisation } from '../gpu/kernel.ts'
import { cdiv } from '../util/math.ts'
import type { KernelVariant } from './variant.ts'

export interface RmsNormShape {
  /** elements of a row, a multiple of 4 */
  readonly size: number
  readonly eps: number
  /** elements from one input row to the next, a multiple of 4 */
  readonly inStride: number
  /** elements before the first input row, a multiple of 4 */
  readonly inOffset: number
  /** elements from one output row to the next, a multiple of 4 */
  readonly outStride: number
  /** elements before the first output row, a multiple of 4 */
  readonly outOffset: number
  /** an output row is written at its KV slot; a row without a slot is not written */
  readonly bySlot: boolean
  /** undefined: out = norm(x); otherwise out += addScale · norm(x) */
  readonly addScale: number | undefined
}

/**
 * x: vec4f, `size` elements at row · inStride + inOffset; out: vec4f, `size` elements at (row or slot) · outStride + outOffset.
 * `slots` is always bound.
 */
export const rmsNormGroups: Kernel['groups'] = {
  step: { pass: 'uniform', slots: 'read' },
  layer: { weight: 'read' },
  activations: { x: 'read', out: 'write' },
}

export function specialiseRmsNorm(shape: RmsNormShape): Specialisation {
  const { addScale } = shape
  return {
    constants: {
      K: shape.size,
      EPS: shape.eps,
      IN_STRIDE: shape.inStride,
      IN_OFFSET: shape.inOffset,
      OUT_STRIDE: shape.outStride,
      OUT_OFFSET: shape.outOffset,
      BY_SLOT: shape.bySlot,
      ADD: addScale !== undefined,
      SCALE: Math.fround(addScale ?? 1),
    },
    libs: [order, pass, requestTable],
  }
}

export const rmsNorm: KernelVariant<RmsNormShape> = {
  name: 'workgroup',
  kernel: { name: 'rmsNorm', source, groups: rmsNormGroups },
  specialise: specialiseRmsNorm,
  grid: (_shape, rows) => [cdiv(rows, 4), 1, 1],
}
