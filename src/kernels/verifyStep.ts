/** Host half of `verifyStep`: accepts drafts and advances the request table. */

import passText from '../../shaders/lib/pass.wgsl?raw'
import requestTableText from '../../shaders/lib/requestTable.wgsl?raw'
import stepRequestText from '../../shaders/lib/stepRequest.wgsl?raw'
import source from '../../shaders/verifyStep.wgsl?raw'
import type { Kernel } from '../gpu/kernel.ts'
import { cdiv } from '../util/math.ts'
import type { KernelVariant } from './variant.ts'

const kernel: Kernel = {
  name: 'verifyStep',
  source,
  groups: {
    step: { pass: 'uniform', requests: 'read', ids: 'read', tokens: 'read', table: 'write' },
    layer: {},
    activations: { results: 'write' },
  },
}

export const verifyStep: KernelVariant<unknown> = {
  name: 'serial',
  kernel,
  specialise: () => ({ constants: {}, libs: [passText, requestTableText, stepRequestText] }),
  grid: (_shape, rows) => [cdiv(rows, 32), 1, 1],
}
