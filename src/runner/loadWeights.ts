/** Streams a checkpoint to the GPU: packs each tensor in the layout of its kernels and writes it once. */

import type { Arena } from '../gpu/arena.ts'
import { type PackedWeight, packedWeight, packWeight, selectColumns, weightBytes } from '../kernels/weights.ts'
import { assert } from '../util/math.ts'
import { decodeWeights, WEIGHT_BYTES } from '../weights/decode.ts'
import type { MatrixPart, VectorPart, WeightPart } from './weightLayout.ts'

/** A second buffer that receives a copy of some columns of a matrix. */
export interface ColumnCopy {
  readonly from: string
  readonly to: string
  readonly columns: readonly number[]
}

export class WeightUploader {
  readonly #queue: GPUQueue
  readonly #arena: Arena
  readonly #parts: ReadonlyMap<string, WeightPart>
  readonly #copy: ColumnCopy | undefined
  /** matrices not yet complete, and the number of columns missing */
  readonly #open = new Map<string, { readonly matrix: PackedWeight; missing: number }>()
  /** names of tensors not yet added */
  readonly #missing: Set<string>

  constructor(queue: GPUQueue, arena: Arena, parts: ReadonlyMap<string, WeightPart>, copy?: ColumnCopy) {
    this.#queue = queue
    this.#arena = arena
    this.#parts = parts
    this.#copy = copy
    this.#missing = new Set(parts.keys())
  }

  /** Adds one tensor; a tensor that the engine does not need is ignored. */
  add(name: string, data: Uint8Array): void {
    const part = this.#parts.get(name)
    if (!part) return
    this.#missing.delete(name)
    if (part.kind === 'vector') this.#addVector(part, data)
    else this.#addMatrix(part, data)
  }

  /** Whether every tensor was added. */
  get complete(): boolean {
    return this.#missing.size === 0
  }

  #addVector(part: VectorPart, data: Uint8Array): void {
    const values = new Float32Array(data.byteLength / WEIGHT_BYTES[part.dtype])
    decodeWeights(data, part.dtype, values)
    assert(part.first + values.length <= part.size, `${part.buffer} has ${part.size} values`)
    this.#queue.writeBuffer(this.#arena.buffer(part.buffer), part.first * 4, values)
  }

  #addMatrix(part: MatrixPart, data: Uint8Array): void {
    const open = this.#open.get(part.buffer) ?? {
      matrix: packedWeight(part.dtype, part.columns, part.inputs),
      missing: part.columns,
    }
    packWeight(open.matrix, data, part.firstColumn)
    open.missing -= data.byteLength / weightBytes(part.dtype, 1, part.inputs)
    if (open.missing > 0) {
      this.#open.set(part.buffer, open)
      return
    }
    this.#open.delete(part.buffer)
    this.#write(part.buffer, open.matrix)
    if (this.#copy?.from === part.buffer) {
      this.#write(this.#copy.to, selectColumns(open.matrix, this.#copy.columns))
    }
  }

  #write(buffer: string, { words }: PackedWeight): void {
    this.#queue.writeBuffer(this.#arena.buffer(buffer), 0, words)
  }
}
