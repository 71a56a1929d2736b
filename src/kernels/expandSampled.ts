/** Host half of `expandSampled`: table row and token position of each sampled row. */

import source from '../../shaders/expandSampled.wgsl?raw'
import passText from '../../shaders/lib/pass.wgsl?raw'
import type { Kernel } from '../gpu/kernel.ts'
import { cdiv } from '../util/math.ts'
import type { KernelVariant } from './variant.ts'

const kernel: Kernel = {
  name: 'expandSampled',
  source,
  groups: {
    step: { pass: 'uniform', rowIndex: 'read', positions: 'read', tableRows: 'read' },
    layer: {},
    activations: { sampledTable: 'write', sampledPositions: 'write' },
  },
}

export const expandSampled: KernelVariant<unknown> = {
  name: 'serial',
  kernel,
  specialise: () => ({ constants: {}, libs: [passText] }),
  grid: (_shape, rows) => [cdiv(rows, 64), 1, 1],
}
