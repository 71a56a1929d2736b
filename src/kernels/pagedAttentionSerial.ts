/** Attention over the paged cache without barriers, work list or merge: host half of `pagedAttentionSerial.wgsl`. */

import source from '../../shaders/pagedAttentionSerial.wgsl?raw'
import type { Kernel } from '../gpu/kernel.ts'
import { cdiv } from '../util/math.ts'
import { type AttentionShape, attentionSpecialisation } from './pagedAttention.ts'
import type { KernelVariant } from './variant.ts'

const WORKGROUP_SIZE = 16

const pagedAttentionSerialKernel: Kernel = {
  name: 'pagedAttentionSerial',
  source,
  groups: {
    step: { pass: 'uniform', positions: 'read', tableRows: 'read', blockTable: 'read' },
    layer: { cache: 'read' },
    activations: { q: 'read', out: 'write' },
  },
}

export const pagedAttentionSerial: KernelVariant<AttentionShape> = {
  name: 'serial',
  kernel: pagedAttentionSerialKernel,
  specialise: attentionSpecialisation,
  grid(shape, rows) {
    const pairs = cdiv(shape.heads / shape.kvHeads, 2)
    return [cdiv(rows * pairs, WORKGROUP_SIZE), shape.kvHeads, 1]
  },
}
