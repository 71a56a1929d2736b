/**
 * The layout of a session's external file: which tensor of the checkpoint goes where, as f32 or quantised, before there are values.
 * It must never know a node of the graph.
 */

import type { WeightTensor } from '../models/weightNames.ts'
import { alignTo, assert, sum } from '../util/math.ts'
import type { GraphWeight } from './onnx/model.ts'

/** Where a tensor's values go in the external file of a session. */
export interface WeightPlace {
  readonly tensor: string
  /** byte where the f32 values begin, or the 8-bit matrix that the tensor is a part of */
  readonly first: number
  /** values of the whole tensor */
  readonly size: number
  /** values of one row of a matrix; 1 for a vector */
  readonly rowSize: number
  /** only these rows of the matrix, in this order; undefined: all */
  readonly rows: readonly number[] | undefined
  /** undefined: as f32, row-major */
  readonly quantised: QuantisedPlace | undefined
}

/** Of a tensor whose rows become columns of an 8-bit matrix [rowSize][columns]. */
export interface QuantisedPlace {
  readonly columns: number
  /** of the tensor's first row */
  readonly column: number
  /** byte where the f32 scales of all columns begin */
  readonly scales: number
}

export class WeightFile {
  readonly #weights: GraphWeight[] = []
  readonly #places: WeightPlace[] = []
  #bytes = 0

  get weights(): readonly GraphWeight[] {
    return this.#weights
  }

  get places(): readonly WeightPlace[] {
    return this.#places
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Tensors of equal rows (or vectors), one below the other, as f32. @returns the weight's name */
  add(tensors: readonly WeightTensor[], rows?: readonly number[]): string {
    const inner = innerShape(tensors)
    const count = rowCount(tensors, rows)
    const rowSize = inner[0] ?? 1
    const name = this.#weight('f32', [count, ...inner])
    let first = this.#bytes - count * rowSize * 4
    for (const tensor of tensors) {
      this.#places.push({ ...placeOf(tensor, rows), first, quantised: undefined })
      first += rowCount([tensor], rows) * rowSize * 4
    }
    return name
  }

  /**
   * Matrices of equal rows as the columns of one 8-bit matrix [K][N], with a scale each, [N].
   * @returns names of the weights
   */
  addQuantised(
    tensors: readonly WeightTensor[],
    rows?: readonly number[],
  ): { readonly values: string; readonly scales: string } {
    const [rowSize] = innerShape(tensors)
    assert(rowSize, 'a quantised tensor is a matrix')
    const columns = rowCount(tensors, rows)
    const scaleName = this.#weight('f32', [columns])
    const scales = this.#bytes - columns * 4
    const values = this.#weight('int8', [rowSize, columns])
    const first = this.#bytes - alignTo(rowSize * columns, 4)
    let column = 0
    for (const tensor of tensors) {
      this.#places.push({ ...placeOf(tensor, rows), first, quantised: { columns, column, scales } })
      column += rowCount([tensor], rows)
    }
    return { values, scales: scaleName }
  }

  #weight(type: GraphWeight['type'], shape: readonly number[]): string {
    const name = `weight${this.#weights.length}`
    this.#weights.push({ name, type, shape, first: this.#bytes })
    const values = shape.reduce((product, size) => product * size, 1)
    this.#bytes += alignTo(values * (type === 'f32' ? 4 : 1), 4)
    return name
  }
}

function placeOf({ name, shape }: WeightTensor, rows: readonly number[] | undefined) {
  const size = shape.reduce((product, length) => product * length, 1)
  return { tensor: name, size, rowSize: shape[1] ?? 1, rows }
}

function innerShape(tensors: readonly WeightTensor[]): readonly number[] {
  const inner = tensors[0]?.shape.slice(1) ?? []
  assert(
    tensors.every(({ shape }) => shape.slice(1).join() === inner.join()),
    'stacked matrices have the same inputs',
  )
  return inner
}

function rowCount(tensors: readonly WeightTensor[], rows: readonly number[] | undefined): number {
  return rows?.length ?? sum(tensors.map(({ shape }) => shape[0] ?? 0))
}
