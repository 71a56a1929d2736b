/** Host half of `scatterRows`: copies rows to their KV slots. */

import passText from '../../shaders/lib/pass.wgsl?raw'
import requestTableText from '../../shaders/lib/requestTable.wgsl?raw'
import source from '../../shaders/scatterRows.wgsl?raw'
import type { Kernel } from '../gpu/kernel.ts'
import { cdiv } from '../util/math.ts'
import type { GatherRowsShape } from './gatherRows.ts'
import type { KernelVariant } from './variant.ts'

const kernel: Kernel = {
  name: 'scatterRows',
  source,
  groups: {
    step: { pass: 'uniform', slots: 'read' },
    layer: {},
    activations: { x: 'read', out: 'write' },
  },
}

export const scatterRows: KernelVariant<GatherRowsShape> = {
  name: 'serial',
  kernel,
  specialise: ({ size }) => ({ constants: { ROW_GROUPS: size / 4 }, libs: [passText, requestTableText] }),
  grid: ({ size }, rows) => [cdiv(size / 4, 64), rows, 1],
}
