/** Merges the attention partials of a row's splits: host half of `attentionMerge.wgsl`. */

import source from '../../shaders/attentionMerge.wgsl?raw'
import libPass from '../../shaders/lib/pass.wgsl?raw'
import libSoftmax from '../../shaders/lib/softmax.wgsl?raw'
import type { Kernel } from '../gpu/kernel.ts'
import { cdiv } from '../util/math.ts'
import type { AttentionShape } from './pagedAttention.ts'
import type { KernelVariant } from './variant.ts'

const WORKGROUP_SIZE = 64

const attentionMergeKernel: Kernel = {
  name: 'attentionMerge',
  source,
  groups: {
    step: { pass: 'uniform', merges: 'read' },
    layer: {},
    activations: { partials: 'read', out: 'write' },
  },
}

/** One variant serves both kernel sets, since it has no barrier. Its rows are entries of the merge list. */
export const attentionMerge: KernelVariant<Pick<AttentionShape, 'heads' | 'headDim'>> = {
  name: 'serial',
  kernel: attentionMergeKernel,
  specialise: ({ heads, headDim }) => ({
    constants: { HEADS: heads },
    consts: { HEAD_VECS: headDim / 4 },
    libs: [libPass, libSoftmax],
  }),
  grid: (shape, merges) => [cdiv((shape.heads * shape.headDim) / 4, WORKGROUP_SIZE), merges, 1],
}
