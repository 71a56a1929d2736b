/** Host half of `sampleThreshold`: the key of the smallest logit that min-p, top-k and top-p keep. */

import logitKeyText from '../../shaders/lib/logitKey.wgsl?raw'
import massText from '../../shaders/lib/mass.wgsl?raw'
import noiseText from '../../shaders/lib/noise.wgsl?raw'
import passText from '../../shaders/lib/pass.wgsl?raw'
import requestTableText from '../../shaders/lib/requestTable.wgsl?raw'
import source from '../../shaders/sampleThreshold.wgsl?raw'
import type { Kernel, Specialisation } from '../gpu/kernel.ts'
import type { KernelVariant } from './variant.ts'

export interface SampleThresholdShape {
  /** logits of a row, at most 2^20 */
  readonly vocabSize: number
}

export const sampleThresholdGroups: Kernel['groups'] = {
  step: { pass: 'uniform', sampledTable: 'read', table: 'read' },
  layer: {},
  activations: { logits: 'read', thresholds: 'write' },
}

export function specialiseSampleThreshold({ vocabSize }: SampleThresholdShape): Specialisation {
  const libs = [passText, requestTableText, logitKeyText, noiseText, massText]
  return { constants: { VOCAB_SIZE: vocabSize }, libs }
}

/** Logits [rows][vocabSize] to thresholds [rows]; 0 for greedy rows and rows without a cut. */
export const sampleThreshold: KernelVariant<SampleThresholdShape> = {
  name: 'workgroup',
  kernel: { name: 'sampleThreshold', source, groups: sampleThresholdGroups },
  specialise: specialiseSampleThreshold,
  grid: (_shape, rows) => [rows, 1, 1],
}
