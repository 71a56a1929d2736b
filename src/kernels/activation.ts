/** The activation of an MLP as WGSL: `activate(gate, up)`, one text for every kernel that computes it. */

import geglu from '../../shaders/lib/geglu.wgsl?raw'
import swiglu from '../../shaders/lib/swiglu.wgsl?raw'
import tanh from '../../shaders/lib/tanh.wgsl?raw'

/** silu(gate) · up, or gelu_tanh(gate) · up (Shazeer 2020, GLU variants) */
export type Activation = 'silu' | 'gelu_tanh'

const LIBS: Readonly<Record<Activation, readonly string[]>> = { silu: [swiglu], gelu_tanh: [tanh, geglu] }

export function activationLibs(activation: Activation): readonly string[] {
  return LIBS[activation]
}
