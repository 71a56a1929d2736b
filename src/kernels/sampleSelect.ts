/** Host half of `sampleSelect`: reduces a row's chunks to its token and digest. */

import chunkText from '../../shaders/lib/chunk.wgsl?raw'
import passText from '../../shaders/lib/pass.wgsl?raw'
import requestTableText from '../../shaders/lib/requestTable.wgsl?raw'
import source from '../../shaders/sampleSelect.wgsl?raw'
import type { Kernel } from '../gpu/kernel.ts'
import { cdiv } from '../util/math.ts'
import { numChunks } from './sampleChunks.ts'
import type { KernelVariant } from './variant.ts'

export interface SampleSelectShape {
  /** logits in a row */
  readonly vocabSize: number
  /** columns are part of the vocabulary: `tokenIds` [vocabSize], ascending, maps columns to token ids */
  readonly subset: boolean
  /** write `digests` */
  readonly digest: boolean
}

const kernel: Kernel = {
  name: 'sampleSelect',
  source,
  groups: {
    step: { pass: 'uniform' },
    layer: { tokenIds: 'read' },
    activations: { chunks: 'read', tokens: 'write', digests: 'write' },
  },
}

/** Chunks [rows][numChunks] to tokens [rows] and digests [rows] (low, high). */
export const sampleSelect: KernelVariant<SampleSelectShape> = {
  name: 'serial',
  kernel,
  specialise: ({ vocabSize, subset, digest }) => ({
    constants: { CHUNKS: numChunks(vocabSize), DIGEST: digest, SUBSET: subset },
    libs: [passText, requestTableText, chunkText],
  }),
  grid: (_shape, rows) => [cdiv(rows, 16), 1, 1],
}
