/** Host half of `storeDrafts`: stores the drafts of a pass and advances its rows to the next position. */

import passText from '../../shaders/lib/pass.wgsl?raw'
import requestTableText from '../../shaders/lib/requestTable.wgsl?raw'
import stepRequestText from '../../shaders/lib/stepRequest.wgsl?raw'
import source from '../../shaders/storeDrafts.wgsl?raw'
import type { Kernel } from '../gpu/kernel.ts'
import { cdiv } from '../util/math.ts'
import type { KernelVariant } from './variant.ts'

const kernel: Kernel = {
  name: 'storeDrafts',
  source,
  groups: {
    step: {
      pass: 'uniform',
      draftRequests: 'read',
      draftTableRows: 'read',
      blockTable: 'read',
      tokens: 'read',
      table: 'write',
    },
    layer: {},
    activations: { results: 'write', draftPositions: 'write', draftSlots: 'write' },
  },
}

export interface StoreDraftsShape {
  /** entries of a request's row in the block table */
  readonly maxBlocks: number
}

export const storeDrafts: KernelVariant<StoreDraftsShape> = {
  name: 'serial',
  kernel,
  specialise: ({ maxBlocks }) => ({
    constants: { MAX_BLOCKS: maxBlocks },
    libs: [passText, requestTableText, stepRequestText],
  }),
  grid: (_shape, rows) => [cdiv(rows, 32), 1, 1],
}
