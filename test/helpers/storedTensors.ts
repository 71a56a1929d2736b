/** The tensors of a model with the numbers they stand for: random ones of any model spec in every format, or those of files. */

import type { ModelWeights } from '../../src/backend/backend.ts'
import type { ModelSpec } from '../../src/models/modelSpec.ts'
import { type WeightTensor, weightPlan } from '../../src/models/weightNames.ts'
import { at } from '../../src/util/math.ts'
import { dequantiseRows } from '../../src/weights/dequantise.ts'
import { emptyRows, type WeightFormat, type WeightRows } from '../../src/weights/format.ts'
import { sliceRows } from '../../src/weights/rowSlices.ts'
import { seededRandom } from './kernelHarness.ts'
import { ALL_FORMATS, BF16, F16, F32, fits, QUANTISED_FORMATS } from './weightFormats.ts'
import { randomMatrix } from './weights.ts'

/** Goes as it is into `weightsOf`. */
export interface StoredTensor extends WeightTensor {
  /** a vector is one row of f32 */
  readonly values: WeightRows
  /** what `values` stands for, row-major */
  readonly exact: Float32Array
}

/** The format of the next matrix, of so many inputs. */
export type FormatOf = (inputs: number) => WeightFormat

/**
 * Every tensor of a model with random values.
 * @param formatOf default: drawn for each matrix, half of them quantised where its inputs allow that
 */
export function randomTensors(spec: ModelSpec, seed: number, formatOf: FormatOf = drawn(seed)): StoredTensor[] {
  return weightPlan(spec).map((tensor, index) => {
    const [first = 0, inputs] = tensor.shape
    const { rows, values } =
      inputs === undefined
        ? randomMatrix(F32, seed + index, 1, first)
        : randomMatrix(formatOf(inputs), seed + index, first, inputs)
    return { ...tensor, values: rows, exact: values }
  })
}

/** Every format that the inputs of a matrix allow, matrix after matrix. */
export function inTurn(): FormatOf {
  let matrices = 0
  return (inputs) => {
    const possible = ALL_FORMATS.filter((format) => fits(format, inputs))
    return at(possible, matrices++ % possible.length)
  }
}

function drawn(seed: number): FormatOf {
  const random = seededRandom(seed)
  return (inputs) => {
    const quantised: readonly WeightFormat[] = QUANTISED_FORMATS.filter((format) => fits(format, inputs))
    const possible = quantised.length > 0 && random() < 0.5 ? quantised : [BF16, F16, F32]
    return at(possible, Math.floor(random() * possible.length))
  }
}

/** The tensors of files, read whole. */
export async function readTensors(weights: ModelWeights): Promise<StoredTensor[]> {
  const read = new Map<string, StoredTensor>()
  await weights.read(weights.tensors, (tensor, firstRow, rows) => {
    const { name, shape, format } = tensor
    const count = shape.length === 1 ? 1 : at(shape, 0)
    const values = read.get(name)?.values ?? emptyRows(format, rows.inputs, count)
    const place = sliceRows(values, firstRow, rows.count)
    place.codes.set(rows.codes)
    place.scales.set(rows.scales)
    read.set(name, { ...tensor, values, exact: new Float32Array(0) })
  })
  return [...read.values()].map((tensor) => {
    const exact = new Float32Array(tensor.values.count * tensor.values.inputs)
    dequantiseRows(tensor.values, exact)
    return { ...tensor, exact }
  })
}
