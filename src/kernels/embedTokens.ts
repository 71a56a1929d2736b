/** Host half of `embedTokens`: the embedding of each row's token. It has no sum, so one variant serves both kernel sets. */

import source from '../../shaders/embedTokens.wgsl?raw'
import pass from '../../shaders/lib/pass.wgsl?raw'
import { cdiv } from '../util/math.ts'
import type { KernelVariant } from './variant.ts'
import { type WeightDtype, weightLib } from './weights.ts'

export interface EmbedTokensShape {
  /** a multiple of 4 */
  readonly hiddenSize: number
  readonly vocabSize: number
  readonly dtype: WeightDtype
  /** the embedding is zero where positions[row] is 0; `positions` is always bound, and only read if this is set */
  readonly maskFirst: boolean
}

/** ids [rows] to out [rows][hiddenSize/4] vec4f. */
export const embedTokens: KernelVariant<EmbedTokensShape> = {
  name: 'serial',
  kernel: {
    name: 'embedTokens',
    source,
    groups: {
      step: { pass: 'uniform', ids: 'read', positions: 'read' },
      layer: { weight: 'read' },
      activations: { out: 'write' },
    },
  },
  specialise: ({ hiddenSize, vocabSize, dtype, maskFirst }) => ({
    constants: { HIDDEN_SIZE: hiddenSize, VOCAB_SIZE: vocabSize, MASK_FIRST: maskFirst },
    libs: [pass, weightLib(dtype)],
  }),
  grid: ({ hiddenSize }, rows) => [cdiv(hiddenSize / 4, 64), rows, 1],
}
