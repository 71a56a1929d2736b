/**
 * Host half of `gateUp`: y = activation(x Gᵀ) · (x Uᵀ), 8 columns and 8 rows per workgroup. Also the parts shared by its
 * variants.
 */

import source from '../../shaders/gateUp.wgsl?raw'
import order from '../../shaders/lib/order.wgsl?raw'
import pass from '../../shaders/lib/pass.wgsl?raw'
import type { Kernel, Specialisation } from '../gpu/kernel.ts'
import { cdiv } from '../util/math.ts'
import type { WeightFormat } from '../weights/format.ts'
import { type Activation, activationLibs } from './activation.ts'
import type { KernelVariant } from './variant.ts'
import { weightSpecialisation } from './weights.ts'

export interface GateUpShape {
  /** elements of an input row, a multiple of 4 */
  readonly k: number
  /** elements of an output row, columns of either matrix */
  readonly n: number
  /** of both matrices */
  readonly format: WeightFormat
  readonly activation: Activation
}

/** x: [rows][k/4] vec4f, y: [rows][n] f32. Scales are always bound, and only read with a quantised format. */
export const gateUpGroups: Kernel['groups'] = {
  step: { pass: 'uniform' },
  layer: { gate: 'read', gateScales: 'read', up: 'read', upScales: 'read' },
  activations: { x: 'read', y: 'write' },
}

export function specialiseGateUp({ k, n, format, activation }: GateUpShape): Specialisation {
  const { consts, libs } = weightSpecialisation(format)
  return { constants: { K: k, N: n }, consts, libs: [order, pass, ...activationLibs(activation), ...libs] }
}

export const gateUp: KernelVariant<GateUpShape> = {
  name: 'workgroup',
  kernel: { name: 'gateUp', source, groups: gateUpGroups },
  specialise: specialiseGateUp,
  grid: ({ n }, rows) => [cdiv(n, 8), cdiv(rows, 8), 1],
}
