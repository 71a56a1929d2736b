/** Host half of `startDrafts`: the rows of the first draft pass. */

import passText from '../../shaders/lib/pass.wgsl?raw'
import requestTableText from '../../shaders/lib/requestTable.wgsl?raw'
import stepRequestText from '../../shaders/lib/stepRequest.wgsl?raw'
import source from '../../shaders/startDrafts.wgsl?raw'
import type { Kernel } from '../gpu/kernel.ts'
import { cdiv } from '../util/math.ts'
import type { KernelVariant } from './variant.ts'

const kernel: Kernel = {
  name: 'startDrafts',
  source,
  groups: {
    step: { pass: 'uniform', requests: 'read', draftRequests: 'read', results: 'read', drafterPositions: 'read' },
    layer: {},
    activations: { draftSources: 'write', draftPositions: 'write', draftSlots: 'write', draftTableRows: 'write' },
  },
}

export const startDrafts: KernelVariant<unknown> = {
  name: 'serial',
  kernel,
  specialise: () => ({ constants: {}, libs: [passText, requestTableText, stepRequestText] }),
  grid: (_shape, rows) => [cdiv(rows, 32), 1, 1],
}
