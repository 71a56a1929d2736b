/** Host half of `expandDrafter`: the rows of the drafter's KV pass. */

import source from '../../shaders/expandDrafter.wgsl?raw'
import passText from '../../shaders/lib/pass.wgsl?raw'
import requestTableText from '../../shaders/lib/requestTable.wgsl?raw'
import stepRequestText from '../../shaders/lib/stepRequest.wgsl?raw'
import type { Kernel } from '../gpu/kernel.ts'
import { cdiv } from '../util/math.ts'
import type { KernelVariant } from './variant.ts'

const kernel: Kernel = {
  name: 'expandDrafter',
  source,
  groups: {
    step: {
      pass: 'uniform',
      requests: 'read',
      drafterPlan: 'read',
      results: 'read',
      positions: 'read',
      blockTable: 'read',
    },
    layer: {},
    activations: { nextTokens: 'write', drafterPositions: 'write', drafterSlots: 'write' },
  },
}

export interface ExpandDrafterShape {
  /** blocks of one request */
  readonly maxBlocks: number
}

export const expandDrafter: KernelVariant<ExpandDrafterShape> = {
  name: 'serial',
  kernel,
  specialise: ({ maxBlocks }) => ({
    constants: { MAX_BLOCKS: maxBlocks },
    libs: [passText, requestTableText, stepRequestText],
  }),
  grid: (_shape, rows) => [cdiv(rows, 64), 1, 1],
}
