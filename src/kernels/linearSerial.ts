/** Host half of `linearSerial`: `linear` without barriers, 8 columns and 4 rows per invocation. */

import source from '../../shaders/linearSerial.wgsl?raw'
import { cdiv } from '../util/math.ts'
import { type LinearShape, linearGroups, specialiseLinear } from './linear.ts'
import type { KernelVariant } from './variant.ts'

export const linearSerial: KernelVariant<LinearShape> = {
  name: 'serial',
  kernel: { name: 'linearSerial', source, groups: linearGroups },
  specialise: specialiseLinear,
  grid: ({ n }, rows) => [cdiv(n, 8 * 8), cdiv(rows, 4), 1],
}
