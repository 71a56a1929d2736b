/** Host half of `keepLogits`: a copy of the raw logits for `debug.logits: 'full'`. */

import source from '../../shaders/keepLogits.wgsl?raw'
import passText from '../../shaders/lib/pass.wgsl?raw'
import type { Kernel } from '../gpu/kernel.ts'
import { cdiv } from '../util/math.ts'
import type { KernelVariant } from './variant.ts'

export interface KeepLogitsShape {
  readonly vocabSize: number
}

const kernel: Kernel = {
  name: 'keepLogits',
  source,
  groups: { step: { pass: 'uniform' }, layer: {}, activations: { logits: 'read', rawLogits: 'write' } },
}

/** Copies logits [rows][vocabSize] to rawLogits. */
export const keepLogits: KernelVariant<KeepLogitsShape> = {
  name: 'serial',
  kernel,
  specialise: ({ vocabSize }) => ({ constants: { VOCAB_SIZE: vocabSize }, libs: [passText] }),
  grid: ({ vocabSize }, rows) => [cdiv(vocabSize, 64), rows, 1],
}
