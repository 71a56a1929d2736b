/** Host half of `sampleThresholdSerial`: `sampleThreshold` for adapters where workgroups and barriers are expensive. */

import source from '../../shaders/sampleThresholdSerial.wgsl?raw'
import { cdiv } from '../util/math.ts'
import { type SampleThresholdShape, sampleThresholdGroups, specialiseSampleThreshold } from './sampleThreshold.ts'
import type { KernelVariant } from './variant.ts'

export const sampleThresholdSerial: KernelVariant<SampleThresholdShape> = {
  name: 'serial',
  kernel: { name: 'sampleThresholdSerial', source, groups: sampleThresholdGroups },
  specialise: specialiseSampleThreshold,
  grid: (_shape, rows) => [cdiv(rows, 4), 1, 1],
}
