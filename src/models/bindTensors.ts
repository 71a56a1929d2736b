/** Stands in for the file of the same name until it is merged: the interface alone. */

import type { Encoding } from '../weights/encoding.ts'
import type { WeightFormat } from '../weights/format.ts'
import type { WeightTensor } from './weightNames.ts'

/** A tensor of the model and where it is in the files. */
export interface BoundTensor extends WeightTensor {
  readonly files: readonly string[]
  readonly encoding: Encoding
  readonly format: WeightFormat
  readonly firstRow: number
  readonly fileRows: number
  readonly pairedRows: number | undefined
  readonly add: 0 | 1
}
