/**
 * Host half of `adjustLogits`: penalties and logit bias. `adjustments` says to which tokens they apply
 * (`shaders/lib/adjustmentWord.wgsl`); the penalties themselves are in the request table.
 */

import source from '../../shaders/adjustLogits.wgsl?raw'
import adjustmentWordText from '../../shaders/lib/adjustmentWord.wgsl?raw'
import chunkText from '../../shaders/lib/chunk.wgsl?raw'
import noiseText from '../../shaders/lib/noise.wgsl?raw'
import passText from '../../shaders/lib/pass.wgsl?raw'
import requestTableText from '../../shaders/lib/requestTable.wgsl?raw'
import stepRequestText from '../../shaders/lib/stepRequest.wgsl?raw'
import type { Kernel } from '../gpu/kernel.ts'
import { numChunks } from './sampleChunks.ts'
import type { KernelVariant } from './variant.ts'

/** Most biased tokens of a request. */
export const MAX_BIASES = 300

const IN_PROMPT = 0x80000000
const BIAS_SHIFT = 22

export interface AdjustLogitsShape {
  readonly vocabSize: number
  /** write the difference to the raw logits' digest to `chunks` */
  readonly digest: boolean
}

const kernel: Kernel = {
  name: 'adjustLogits',
  source,
  groups: {
    step: {
      pass: 'uniform',
      requests: 'read',
      rowPlan: 'read',
      rowIndex: 'read',
      ids: 'read',
      table: 'read',
      adjustments: 'read',
    },
    layer: {},
    activations: { logits: 'write', chunks: 'write' },
  },
}

/** Adjusts logits [rows][vocabSize] in place; rows of requests without penalties or bias are not touched. */
export const adjustLogits: KernelVariant<AdjustLogitsShape> = {
  name: 'serial',
  kernel,
  specialise: ({ vocabSize, digest }) => ({
    constants: { VOCAB_SIZE: vocabSize, CHUNKS: numChunks(vocabSize), DIGEST: digest },
    libs: [passText, requestTableText, stepRequestText, noiseText, chunkText, adjustmentWordText],
  }),
  grid: ({ vocabSize }, rows) => [numChunks(vocabSize) / 64, rows, 1],
}

/** Words of one request's row of `adjustments`. */
export function adjustmentWords(vocabSize: number): number {
  return vocabSize + MAX_BIASES
}

export interface TokenHistory {
  /** the prompt, then the output */
  readonly tokens: readonly number[]
  readonly promptLength: number
  /** [id, bias], at most MAX_BIASES of them and no id twice */
  readonly logitBias: readonly (readonly [number, number])[]
}

/** Overwrites `words`, [adjustmentWords(vocabSize)]. */
export function packAdjustments(words: Uint32Array<ArrayBuffer>, vocabSize: number, history: TokenHistory): void {
  const { tokens, promptLength, logitBias } = history
  words.fill(0)
  tokens.forEach((id, position) => {
    const word = words[id] ?? 0
    words[id] = position < promptLength ? word | IN_PROMPT : word + 1
  })
  const biases = new Float32Array(words.buffer, words.byteOffset + vocabSize * 4, MAX_BIASES)
  logitBias.forEach(([id, bias], index) => {
    words[id] = (words[id] ?? 0) | ((index + 1) << BIAS_SHIFT)
    biases[index] = bias
  })
}
