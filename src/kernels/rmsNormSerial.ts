/** Host half of `rmsNormSerial`: `rmsNorm` without barriers, one invocation per row. */

import source from '../../shaders/rmsNormSerial.wgsl?raw'
import { cdiv } from '../util/math.ts'
import { type RmsNormShape, rmsNormGroups, specialiseRmsNorm } from './rmsNorm.ts'
import type { KernelVariant } from './variant.ts'

export const rmsNormSerial: KernelVariant<RmsNormShape> = {
  name: 'serial',
  kernel: { name: 'rmsNormSerial', source, groups: rmsNormGroups },
  specialise: specialiseRmsNorm,
  grid: (_shape, rows) => [cdiv(rows, 16), 1, 1],
}
