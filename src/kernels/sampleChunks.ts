/**
 * Host half of `sampleChunks`: the best token of each chunk of a row of logits, and the chunk's part of the row's digest.
 */

import chunkText from '../../shaders/lib/chunk.wgsl?raw'
import logitKeyText from '../../shaders/lib/logitKey.wgsl?raw'
import noiseText from '../../shaders/lib/noise.wgsl?raw'
import passText from '../../shaders/lib/pass.wgsl?raw'
import requestTableText from '../../shaders/lib/requestTable.wgsl?raw'
import source from '../../shaders/sampleChunks.wgsl?raw'
import type { Kernel } from '../gpu/kernel.ts'
import { cdiv } from '../util/math.ts'
import type { KernelVariant } from './variant.ts'

export interface SampleChunksShape {
  readonly vocabSize: number
  /** every row is greedy and the request table is not read; for draft passes */
  readonly greedy: boolean
  readonly digest: boolean
}

/** Chunks per row. Depends on the vocabulary alone, so that a row is always divided the same way. */
export function numChunks(vocabSize: number): number {
  return 64 * Math.min(8, cdiv(vocabSize, 4096))
}

/** Words of a row in `chunks`. */
export function chunkWords(vocabSize: number): number {
  return 4 * numChunks(vocabSize)
}

const kernel: Kernel = {
  name: 'sampleChunks',
  source,
  groups: {
    step: { pass: 'uniform', sampledTable: 'read', sampledPositions: 'read', table: 'read' },
    layer: {},
    activations: { logits: 'read', thresholds: 'read', chunks: 'write' },
  },
}

/** Logits [rows][vocabSize] and thresholds [rows] to chunks [rows][numChunks]. */
export const sampleChunks: KernelVariant<SampleChunksShape> = {
  name: 'serial',
  kernel,
  specialise: ({ vocabSize, greedy, digest }) => ({
    constants: { VOCAB_SIZE: vocabSize, CHUNKS: numChunks(vocabSize), GREEDY: greedy, DIGEST: digest },
    libs: [passText, requestTableText, logitKeyText, noiseText, chunkText],
  }),
  grid: ({ vocabSize }, rows) => [numChunks(vocabSize) / 64, rows, 1],
}
