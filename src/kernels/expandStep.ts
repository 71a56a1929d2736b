/** Host half of `expandStep`: the token rows of a step from its plan and the request table. */

import source from '../../shaders/expandStep.wgsl?raw'
import passText from '../../shaders/lib/pass.wgsl?raw'
import requestTableText from '../../shaders/lib/requestTable.wgsl?raw'
import stepRequestText from '../../shaders/lib/stepRequest.wgsl?raw'
import type { Kernel } from '../gpu/kernel.ts'
import { cdiv } from '../util/math.ts'
import type { KernelVariant } from './variant.ts'

const kernel: Kernel = {
  name: 'expandStep',
  source,
  groups: {
    step: { pass: 'uniform', requests: 'read', rowPlan: 'read', table: 'read', blockTable: 'read' },
    layer: {},
    activations: { ids: 'write', positions: 'write', slots: 'write', tableRows: 'write' },
  },
}

export interface ExpandStepShape {
  /** entries of a request's row in the block table */
  readonly maxBlocks: number
}

export const expandStep: KernelVariant<ExpandStepShape> = {
  name: 'serial',
  kernel,
  specialise: ({ maxBlocks }) => ({
    constants: { MAX_BLOCKS: maxBlocks },
    libs: [passText, requestTableText, stepRequestText],
  }),
  grid: (_shape, rows) => [cdiv(rows, 64), 1, 1],
}
