/** Host half of `expandSampled`: table row, token position and hidden-state index of each sampled row. */

import source from '../../shaders/expandSampled.wgsl?raw'
import passText from '../../shaders/lib/pass.wgsl?raw'
import requestTableText from '../../shaders/lib/requestTable.wgsl?raw'
import type { Kernel } from '../gpu/kernel.ts'
import { cdiv } from '../util/math.ts'
import type { KernelVariant } from './variant.ts'

const kernel: Kernel = {
  name: 'expandSampled',
  source,
  groups: {
    step: { pass: 'uniform', rowIndex: 'read', positions: 'read', tableRows: 'read', slots: 'read' },
    layer: {},
    activations: { sampledTable: 'write', sampledPositions: 'write', headRows: 'write' },
  },
}

export interface ExpandSampledShape {
  /** hidden states are indexed by KV slot instead of by row */
  readonly bySlot: boolean
}

export const expandSampled: KernelVariant<ExpandSampledShape> = {
  name: 'serial',
  kernel,
  specialise: ({ bySlot }) => ({ constants: { BY_SLOT: bySlot ? 1 : 0 }, libs: [passText, requestTableText] }),
  grid: (_shape, rows) => [cdiv(rows, 64), 1, 1],
}
