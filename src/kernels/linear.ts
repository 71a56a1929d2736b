/** Host half of `linear`: y = x Wᵀ + bias, 8 columns and 8 rows per workgroup. Also the parts shared by its variants. */

import order from '../../shaders/lib/order.wgsl?raw'
import pass from '../../shaders/lib/pass.wgsl?raw'
import softcap from '../../shaders/lib/softcap.wgsl?raw'
import tanh from '../../shaders/lib/tanh.wgsl?raw'
import source from '../../shaders/linear.wgsl?raw'
import type { Kernel, Specialisation } from '../gpu/kernel.ts'
import { cdiv } from '../util/math.ts'
import type { WeightFormat } from '../weights/format.ts'
import type { KernelVariant } from './variant.ts'
import { weightSpecialisation } from './weights.ts'

export interface LinearShape {
  /** elements of an input row, a multiple of 4 */
  readonly k: number
  /** columns of this product */
  readonly n: number
  /** the first of them in the stored matrix, a multiple of 4 */
  readonly firstColumn: number
  /** elements of an output row, and the first that this product writes */
  readonly outStride: number
  readonly outOffset: number
  /** y = y + sum · scale instead of y = sum · scale */
  readonly residual: boolean
  readonly scale: number
  /** y = softcap · tanh(y / softcap); 0: none */
  readonly softcap: number
  /** the input of row r is row rowIndex[r] of x */
  readonly gather: boolean
  /** bias[biasOffset + c] is added to the sum of column c */
  readonly bias: boolean
  readonly biasOffset: number
  readonly format: WeightFormat
}

/**
 * x: [*][k/4] vec4f, y: [rows][outStride] f32. `rowIndex`, `bias` and `scales` are always bound, and only read with `gather`, `bias`
 * and a quantised format.
 */
export const linearGroups: Kernel['groups'] = {
  step: { pass: 'uniform', rowIndex: 'read' },
  layer: { weight: 'read', scales: 'read', bias: 'read' },
  activations: { x: 'read', y: 'write' },
}

export function specialiseLinear(shape: LinearShape): Specialisation {
  const { consts, libs } = weightSpecialisation(shape.format)
  return {
    constants: {
      K: shape.k,
      N: shape.n,
      FIRST_COLUMN: shape.firstColumn,
      OUT_STRIDE: shape.outStride,
      OUT_OFFSET: shape.outOffset,
      RESIDUAL: shape.residual,
      SCALE: shape.scale,
      SOFTCAP: shape.softcap,
      GATHER: shape.gather,
      BIAS: shape.bias,
      BIAS_OFFSET: shape.biasOffset,
    },
    consts,
    libs: [order, pass, tanh, softcap, ...libs],
  }
}

export const linear: KernelVariant<LinearShape> = {
  name: 'workgroup',
  kernel: { name: 'linear', source, groups: linearGroups },
  specialise: specialiseLinear,
  grid: ({ n }, rows) => [cdiv(n, 8), cdiv(rows, 8), 1],
}
