/** Host half of `verifyStep`: accepts drafts, advances the request table, and counts the tokens of requests with penalties. */

import adjustmentWordText from '../../shaders/lib/adjustmentWord.wgsl?raw'
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
    activations: { results: 'write', adjustments: 'write' },
  },
}

export interface VerifyStepShape {
  readonly vocabSize: number
}

export const verifyStep: KernelVariant<VerifyStepShape> = {
  name: 'serial',
  kernel,
  specialise: ({ vocabSize }) => ({
    constants: { VOCAB_SIZE: vocabSize },
    libs: [passText, requestTableText, stepRequestText, adjustmentWordText],
  }),
  grid: (_shape, rows) => [cdiv(rows, 32), 1, 1],
}
