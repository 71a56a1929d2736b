/** Writes the rows of a model's tensors to the GPU, in the layout of its kernels: a tile as soon as it is full. */

import type { ModelTensor } from '../backend/backend.ts'
import type { Arena } from '../gpu/arena.ts'
import { TILE_COLUMNS, tileBytes, WeightTile } from '../kernels/weights.ts'
import { assert } from '../util/math.ts'
import type { WeightRows } from '../weights/format.ts'
import { alignedWords } from '../weights/words.ts'
import { columnRuns, type MatrixPart, type StoredMatrix, scalesOf, type WeightLayout } from './weightLayout.ts'

/** A matrix that receives a copy of some columns of another. */
export interface ColumnCopy {
  readonly from: string
  readonly to: string
  /** ascending */
  readonly columns: readonly number[]
}

export class WeightUploader {
  readonly #queue: GPUQueue
  readonly #arena: Arena
  readonly #layout: WeightLayout
  readonly #copy: ColumnCopy | undefined
  readonly #writers: ReadonlyMap<MatrixPart, PartWriter>
  /** vectors that did not come yet */
  #vectors: number

  constructor(queue: GPUQueue, arena: Arena, layout: WeightLayout, copy?: ColumnCopy) {
    this.#queue = queue
    this.#arena = arena
    this.#layout = layout
    this.#copy = copy
    const parts = [...layout.matrices.values()].flatMap(({ inputs, parts }) => parts.map((part) => ({ inputs, part })))
    this.#writers = new Map(parts.map(({ inputs, part }) => [part, this.#writerOf(part, inputs)]))
    this.#vectors = [...layout.places.values()].filter(({ kind }) => kind === 'vector').length
  }

  /** Adds rows of a tensor that has a place in the layout. */
  add(tensor: ModelTensor, firstRow: number, rows: WeightRows): void {
    const place = this.#layout.places.get(tensor.name)
    assert(place, `tensor ${tensor.name} has a place`)
    if (place.kind === 'vector') {
      const values = new Float32Array(rows.codes.slice().buffer)
      this.#queue.writeBuffer(this.#arena.buffer(place.name), place.first * 4, values)
      this.#vectors -= 1
      return
    }
    const first = place.first + firstRow
    const words = rowWords(rows)
    this.#write(place.name, first, words)
    if (this.#copy?.from === place.name) this.#writeCopy(this.#copy, first, words)
  }

  /** Whether every row of every tensor came. */
  get complete(): boolean {
    return this.#vectors === 0 && [...this.#writers.values()].every(({ missing }) => missing === 0)
  }

  #write(name: string, first: number, rows: RowWords): void {
    const matrix = this.#matrix(name)
    for (const { part, firstColumn, columns, outColumn } of columnRuns(matrix, first, first + rows.count)) {
      const writer = this.#writer(part)
      for (let i = 0; i < columns; i++) writer.setColumn(firstColumn + i, rows, outColumn - first + i)
    }
  }

  #writeCopy({ to, columns }: ColumnCopy, first: number, rows: RowWords): void {
    const matrix = this.#matrix(to)
    for (const [column, source] of columns.entries()) {
      if (source < first || source >= first + rows.count) continue
      for (const { part, firstColumn } of columnRuns(matrix, column, column + 1)) {
        this.#writer(part).setColumn(firstColumn, rows, source - first)
      }
    }
  }

  #matrix(name: string): StoredMatrix {
    const matrix = this.#layout.matrices.get(name)
    assert(matrix, `${name} is a matrix of the layout`)
    return matrix
  }

  #writer(part: MatrixPart): PartWriter {
    const writer = this.#writers.get(part)
    assert(writer, `${part.buffer} is a part of the layout`)
    return writer
  }

  #writerOf(part: MatrixPart, inputs: number): PartWriter {
    const { codes, scales } = tileBytes(part.format, inputs)
    const write = (tile: number, filled: WeightTile) => {
      this.#queue.writeBuffer(this.#arena.buffer(part.buffer), tile * codes, filled.codes)
      if (scales === 0) return
      this.#queue.writeBuffer(this.#arena.buffer(scalesOf(part.buffer)), tile * scales, filled.scales)
    }
    return new PartWriter(part, inputs, write)
  }
}

interface OpenTile {
  readonly tile: WeightTile
  /** columns */
  missing: number
}

/** Fills the tiles of one part, in any order of columns. */
class PartWriter {
  readonly #part: MatrixPart
  readonly #inputs: number
  readonly #write: (tile: number, filled: WeightTile) => void
  readonly #open = new Map<number, OpenTile>()
  /** a tile that was written, to be filled again */
  #spare: WeightTile | undefined
  #missing: number

  constructor(part: MatrixPart, inputs: number, write: (tile: number, filled: WeightTile) => void) {
    this.#missing = part.columns
    this.#part = part
    this.#inputs = inputs
    this.#write = write
  }

  /** columns that did not come yet */
  get missing(): number {
    return this.#missing
  }

  setColumn(column: number, rows: RowWords, row: number): void {
    const index = Math.floor(column / TILE_COLUMNS)
    const open = this.#open.get(index) ?? this.#begin(index)
    const { codes, scales, codeWords, scaleWords } = rows
    open.tile.setColumn(
      column % TILE_COLUMNS,
      codes.subarray(row * codeWords, (row + 1) * codeWords),
      scales.subarray(row * scaleWords, (row + 1) * scaleWords),
    )
    open.missing -= 1
    this.#missing -= 1
    if (open.missing > 0) return
    this.#write(index, open.tile)
    this.#open.delete(index)
    // A part that is full keeps none: a model has hundreds.
    this.#spare = this.#missing > 0 ? open.tile : undefined
  }

  #begin(index: number): OpenTile {
    const { format, columns } = this.#part
    const tile = this.#spare ?? new WeightTile(format, this.#inputs)
    this.#spare = undefined
    const missing = Math.min(TILE_COLUMNS, columns - index * TILE_COLUMNS)
    // Columns past the last stay 0.
    if (missing < TILE_COLUMNS) tile.clear()
    const open = { tile, missing }
    this.#open.set(index, open)
    return open
  }
}

/** Rows as 32-bit words. */
interface RowWords {
  readonly count: number
  readonly codes: Uint32Array // [count][codeWords]
  readonly scales: Uint32Array // [count][scaleWords]
  readonly codeWords: number
  readonly scaleWords: number
}

function rowWords({ count, codes, scales }: WeightRows): RowWords {
  const words = alignedWords(codes)
  return { count, codes: words, scales, codeWords: words.length / count, scaleWords: scales.length / count }
}
