/**
 * Host half of `activate`: the activation of an MLP whose gate and up were computed apart, because their weights differ in format.
 * The bits are those of `gateUp` for the same sums. It has no sum itself, so one variant serves both kernel sets.
 */

import source from '../../shaders/activate.wgsl?raw'
import pass from '../../shaders/lib/pass.wgsl?raw'
import { cdiv } from '../util/math.ts'
import { type Activation, activationLibs } from './activation.ts'
import type { KernelVariant } from './variant.ts'

/** Where the rows of a product lie in its buffer, in elements; multiples of 4. */
export interface ProductPlace {
  /** from one row to the next */
  readonly stride: number
  /** before the first row's first element */
  readonly offset: number
}

export interface ActivateShape {
  /** elements of an output row, a multiple of 4 */
  readonly n: number
  readonly gate: ProductPlace
  readonly up: ProductPlace
  readonly activation: Activation
  /** gateBias [n] and upBias [n] are added first; they are always bound, and only read if this is set */
  readonly bias: boolean
}

/** gate and up, which may be the same buffer, to y [rows][n/4] vec4f. */
export const activate: KernelVariant<ActivateShape> = {
  name: 'serial',
  kernel: {
    name: 'activate',
    source,
    groups: {
      step: { pass: 'uniform' },
      layer: { gateBias: 'read', upBias: 'read' },
      activations: { gate: 'read', up: 'read', y: 'write' },
    },
  },
  specialise: ({ n, gate, up, activation, bias }) => ({
    constants: {
      N: n,
      GATE_STRIDE: gate.stride,
      GATE_OFFSET: gate.offset,
      UP_STRIDE: up.stride,
      UP_OFFSET: up.offset,
      BIAS: bias,
    },
    libs: [pass, ...activationLibs(activation)],
  }),
  grid: ({ n }, rows) => [cdiv(n / 4, 64), rows, 1],
}
