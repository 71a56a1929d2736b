/** Host half of `gateUpSerial`: `gateUp` without barriers, 4 columns and 4 rows per invocation. */

import source from '../../shaders/gateUpSerial.wgsl?raw'
import { cdiv } from '../util/math.ts'
import { type GateUpShape, gateUpGroups, specialiseGateUp } from './gateUp.ts'
import type { KernelVariant } from './variant.ts'

export const gateUpSerial: KernelVariant<GateUpShape> = {
  name: 'serial',
  kernel: { name: 'gateUpSerial', source, groups: gateUpGroups },
  specialise: specialiseGateUp,
  grid: ({ n }, rows) => [cdiv(n, 8 * 4), cdiv(rows, 4), 1],
}
