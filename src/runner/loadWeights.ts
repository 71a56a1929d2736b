/** Streams a checkpoint to the GPU: each tensor is laid out as its kernels read it and written once. */

import type { Arena } from '../gpu/arena.ts'
import type { WeightDtype } from '../kernels/weights.ts'
import type { TensorHeader } from '../models/weightNames.ts'
import { assert } from '../util/math.ts'
import type { MatrixPart, VectorPart, WeightPart } from './weightLayout.ts'

/** A source of tensors, in any order. */
export interface WeightStream {
  readonly tensors: ReadonlyMap<string, TensorHeader>
  readonly totalBytes: number
  stream(
    onTensor: (info: TensorHeader & { readonly name: string }, data: Uint8Array) => void | Promise<void>,
    options: {
      readonly signal?: AbortSignal | undefined
      readonly onProgress?: (progress: {
        readonly file: string
        readonly loaded: number
        readonly total: number
      }) => void
    },
  ): Promise<void>
}

/** Words of 32 bits per group of four elements. */
const GROUP_WORDS: Readonly<Record<WeightDtype, number>> = { bf16: 2, f16: 2, f32: 4 }

export class WeightUploader {
  readonly #queue: GPUQueue
  readonly #arena: Arena
  readonly #parts: ReadonlyMap<string, WeightPart>
  /** matrices whose tensors have not all come: words, and columns still missing */
  readonly #open = new Map<string, { readonly words: Uint32Array<ArrayBuffer>; missing: number }>()

  constructor(queue: GPUQueue, arena: Arena, parts: ReadonlyMap<string, WeightPart>) {
    this.#queue = queue
    this.#arena = arena
    this.#parts = parts
  }

  /** Takes one tensor; one that the engine does not need is passed over. */
  add(name: string, data: Uint8Array): void {
    const part = this.#parts.get(name)
    if (!part) return
    const aligned = data.byteOffset % 4 === 0 ? data : data.slice()
    if (part.kind === 'vector') this.#addVector(part, aligned)
    else this.#addMatrix(part, aligned)
  }

  /** Whether every tensor came. */
  get complete(): boolean {
    return this.#open.size === 0
  }

  #addVector(part: VectorPart, data: Uint8Array): void {
    const values = toFloats(data, part.dtype)
    assert(values.length === part.size, `${part.buffer} has ${part.size} values`)
    this.#queue.writeBuffer(this.#arena.buffer(part.buffer), 0, values)
  }

  #addMatrix(part: MatrixPart, data: Uint8Array): void {
    const groupWords = GROUP_WORDS[part.dtype]
    const groups = part.inputs / 4
    const rows = data.byteLength / (groups * groupWords * 4)
    const open = this.#open.get(part.buffer) ?? {
      words: new Uint32Array(groups * part.columns * groupWords),
      missing: part.columns,
    }
    const source = new Uint32Array(data.buffer, data.byteOffset, data.byteLength / 4)
    transpose(source, open.words, rows, groups, groupWords, part.columns, part.firstColumn)
    open.missing -= rows
    if (open.missing > 0) {
      this.#open.set(part.buffer, open)
      return
    }
    this.#open.delete(part.buffer)
    this.#queue.writeBuffer(this.#arena.buffer(part.buffer), 0, open.words)
  }
}

/** [rows][groups] words of four elements to [groups][columns], from `firstColumn` on. */
function transpose(
  source: Uint32Array,
  target: Uint32Array,
  rows: number,
  groups: number,
  groupWords: number,
  columns: number,
  firstColumn: number,
): void {
  for (let row = 0; row < rows; row++) {
    for (let group = 0; group < groups; group++) {
      const from = (row * groups + group) * groupWords
      const to = (group * columns + firstColumn + row) * groupWords
      for (let word = 0; word < groupWords; word++) target[to + word] = source[from + word] as number
    }
  }
}

function toFloats(data: Uint8Array, dtype: WeightDtype): Float32Array<ArrayBuffer> {
  if (dtype === 'f32') return new Float32Array(new Uint8Array(data).buffer)
  const halves = new Uint16Array(data.buffer, data.byteOffset, data.byteLength / 2)
  if (dtype === 'f16') return Float32Array.from(halves, halfToFloat)
  const words = Uint32Array.from(halves, (half) => half << 16)
  return new Float32Array(words.buffer)
}

/** IEEE 754 binary16 to a number. */
function halfToFloat(half: number): number {
  const sign = half & 0x8000 ? -1 : 1
  const exponent = (half >> 10) & 31
  const mantissa = half & 1023
  if (exponent === 31) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  if (exponent === 0) return sign * mantissa * 2 ** -24
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15)
}
