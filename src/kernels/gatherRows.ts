/** Host half of `gatherRows`: copies rows by index. */

import source from '../../shaders/gatherRows.wgsl?raw'
import passText from '../../shaders/lib/pass.wgsl?raw'
import requestTableText from '../../shaders/lib/requestTable.wgsl?raw'
import type { Kernel } from '../gpu/kernel.ts'
import { cdiv } from '../util/math.ts'
import type { KernelVariant } from './variant.ts'

const kernel: Kernel = {
  name: 'gatherRows',
  source,
  groups: {
    step: { pass: 'uniform', rowIndex: 'read' },
    layer: {},
    activations: { x: 'read', out: 'write' },
  },
}

export interface GatherRowsShape {
  /** elements of a row, a multiple of 4 */
  readonly size: number
}

export const gatherRows: KernelVariant<GatherRowsShape> = {
  name: 'serial',
  kernel,
  specialise: ({ size }) => ({ constants: { ROW_GROUPS: size / 4 }, libs: [passText, requestTableText] }),
  grid: ({ size }, rows) => [cdiv(size / 4, 64), rows, 1],
}
