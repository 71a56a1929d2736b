/** The sizes of a step on the GPU: those of every backend, and what its kernels need besides. */

import { type StepGeometry, stepGeometry } from '../core/stepGeometry.ts'
import { adjustmentWords } from '../kernels/adjustLogits.ts'
import { SPLIT_KEYS } from '../kernels/attentionPlan.ts'
import type { ModelSpec } from '../models/modelSpec.ts'
import type { EngineOptions } from '../protocol/engineOptions.ts'
import { cdiv } from '../util/math.ts'

/** memory limit for attention partials; rows beyond it merge their splits in sequence, with the same bits */
const PARTIAL_BYTES = 64 * 1024 * 1024
/** limit of their number: each workgroup writes at least one, and every adapter allows 65535 workgroups in a dimension */
const MOST_PARTS = 32768

export interface GpuGeometry extends StepGeometry {
  /** attention splits of one row */
  readonly maxSplits: number
  /** most (row, split) pairs that leave partials */
  readonly maxParts: number
  /** positions of a rotation table */
  readonly maxModelLen: number
  /** words per request in `adjustments`; 0: penalties are off */
  readonly adjustments: number
}

export function gpuGeometry(spec: ModelSpec, options: EngineOptions): GpuGeometry {
  const geometry = stepGeometry(spec.vocabSize, options)
  const maxSplits = cdiv(options.maxModelLen, SPLIT_KEYS)
  const partBytes = spec.numHeads * (spec.headDim + 4) * 4
  const wanted = maxSplits > 1 ? geometry.sampled * maxSplits : 0
  return {
    ...geometry,
    maxSplits,
    maxModelLen: options.maxModelLen,
    maxParts: Math.min(wanted, MOST_PARTS, Math.floor(PARTIAL_BYTES / partBytes)),
    adjustments: options.penalties ? adjustmentWords(spec.vocabSize) : 0,
  }
}
