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
    step: { pass: 'uniform', requests: 'read', rowPlan: 'read', results: 'read', ids: 'read', slots: 'read' },
    layer: {},
    activations: { nextTokens: 'write', drafterSlots: 'write' },
  },
}

export const expandDrafter: KernelVariant<unknown> = {
  name: 'serial',
  kernel,
  specialise: () => ({ constants: {}, libs: [passText, requestTableText, stepRequestText] }),
  grid: (_shape, rows) => [cdiv(rows, 64), 1, 1],
}
