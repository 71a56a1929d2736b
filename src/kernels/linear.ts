/** Host half of `linear`: y = x Wᵀ + bias, 8 columns and 8 rows per workgroup. Also the parts shared by its variants. */

import order from '../../shaders/lib/order.wgsl?raw'
import pass from '../../shaders/lib/pass.wgsl?raw'
import source from '../../shaders/linear.wgsl?raw'
import type { Kernel, Specialisation } from '../gpu/kernel.ts'
import { cdiv } from '../util/math.ts'
import type { KernelVariant } from './variant.ts'
import { type WeightDtype, weightLib } from './weights.ts'

export interface LinearShape {
  /** elements of an input row, a multiple of 4 */
  readonly k: number
  /** elements of an output row */
  readonly n: number
  /** columns of the stored matrix [k/4][weightColumns] */
  readonly weightColumns: number
  /** the first column of this product in the stored matrix */
  readonly firstColumn: number
  /** y = y + sum instead of y = sum */
  readonly residual: boolean
  /** the input of row r is row rowIndex[r] of x */
  readonly gather: boolean
  /** bias[c] is added to column c of the stored matrix */
  readonly bias: boolean
  readonly dtype: WeightDtype
}

/**
 * x: [*][k/4] vec4f, y: [rows][n] f32. `rowIndex` and `bias` [weightColumns] f32 are always bound, and only read with
 * `gather` and `bias`.
 */
export const linearGroups: Kernel['groups'] = {
  step: { pass: 'uniform', rowIndex: 'read' },
  layer: { weight: 'read', bias: 'read' },
  activations: { x: 'read', y: 'write' },
}

export function specialiseLinear(shape: LinearShape): Specialisation {
  return {
    constants: {
      K: shape.k,
      N: shape.n,
      WEIGHT_COLUMNS: shape.weightColumns,
      FIRST_COLUMN: shape.firstColumn,
      RESIDUAL: shape.residual,
      GATHER: shape.gather,
      BIAS: shape.bias,
    },
    libs: [order, pass, weightLib(shape.dtype)],
  }
}

export const linear: KernelVariant<LinearShape> = {
  name: 'workgroup',
  kernel: { name: 'linear', source, groups: linearGroups },
  specialise: specialiseLinear,
  grid: ({ n }, rows) => [cdiv(n, 8), cdiv(rows, 8), 1],
}
