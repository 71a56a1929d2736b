/** The activations of an MLP in float64. */

import type { Activation } from '../../src/kernels/activation.ts'

export function activated(activation: Activation, gate: number): number {
  if (activation === 'silu') return gate / (1 + Math.exp(-gate))
  return 0.5 * gate * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (gate + 0.044715 * gate ** 3)))
}
