/** Host half of `embedTokens`: the embedding of each row's token. It has no sum, so one variant serves both kernel sets. */

import source from '../../shaders/embedTokens.wgsl?raw'
import pass from '../../shaders/lib/pass.wgsl?raw'
import { cdiv } from '../util/math.ts'
import type { WeightFormat } from '../weights/format.ts'
import type { KernelVariant } from './variant.ts'
import { weightSpecialisation } from './weights.ts'

export interface EmbedTokensShape {
  /** a multiple of 4 */
  readonly hiddenSize: number
  readonly vocabSize: number
  /** the tokens of this part of the matrix */
  readonly firstToken: number
  readonly tokens: number
  readonly format: WeightFormat
  readonly scale: number
  /** the embedding is zero where positions[row] is 0; `positions` is always bound, and only read if this is set */
  readonly maskFirst: boolean
}

/** ids [rows] to out [rows][hiddenSize/4] vec4f. `scales` is always bound, and only read with a quantised format. */
export const embedTokens: KernelVariant<EmbedTokensShape> = {
  name: 'serial',
  kernel: {
    name: 'embedTokens',
    source,
    groups: {
      step: { pass: 'uniform', ids: 'read', positions: 'read' },
      layer: { weight: 'read', scales: 'read' },
      activations: { out: 'write' },
    },
  },
  specialise: ({ hiddenSize, vocabSize, firstToken, tokens, scale, format, maskFirst }) => {
    const { consts, libs } = weightSpecialisation(format)
    return {
      constants: {
        K: hiddenSize,
        VOCAB_SIZE: vocabSize,
        FIRST_TOKEN: firstToken,
        TOKENS: tokens,
        SCALE: scale,
        MASK_FIRST: maskFirst,
      },
      consts,
      libs: [pass, ...libs],
    }
  },
  grid: ({ hiddenSize }, rows) => [cdiv(hiddenSize / 4, 64), rows, 1],
}
