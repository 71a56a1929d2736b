/**
 * The weight buffers of a layout in host memory, with a queue that writes to them, and what they must hold: the tiled layout by its
 * definition, one word at a time. Shares nothing with the code that fills tiles.
 */

import { expect } from 'vitest'
import type { ModelTensor } from '../../src/backend/backend.ts'
import type { Arena } from '../../src/gpu/arena.ts'
import { type MatrixPart, scalesOf, type WeightLayout, weightBuffers } from '../../src/runner/weightLayout.ts'
import { isQuantised, type WeightFormat, type WeightRows } from '../../src/weights/format.ts'

/** What no tensor has: bytes of a buffer before they are written. */
const POISON = 0xa5

export class UploadTarget {
  readonly queue: GPUQueue
  readonly arena: Arena
  readonly #buffers: ReadonlyMap<string, Uint8Array>

  constructor(layout: WeightLayout) {
    this.#buffers = new Map(weightBuffers(layout).map(({ name, bytes }) => [name, new Uint8Array(bytes).fill(POISON)]))
    const writeBuffer = (name: string, offset: number, data: ArrayBufferView) => {
      const at = this.bytes(name).subarray(offset, offset + data.byteLength)
      if (offset % 4 !== 0 || at.length !== data.byteLength) throw new Error(`${name}: ${data.byteLength} at ${offset}`)
      if (at.some((byte) => byte !== POISON)) throw new Error(`${name} is written twice at ${offset}`)
      at.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
    }
    this.queue = { writeBuffer } as unknown as GPUQueue
    this.arena = { buffer: (name: string) => name } as unknown as Arena
  }

  get names(): string[] {
    return [...this.#buffers.keys()]
  }

  bytes(name: string): Uint8Array {
    const found = this.#buffers.get(name)
    if (!found) throw new Error(`no buffer ${name}`)
    return found
  }

  words(name: string): Uint32Array {
    const { buffer } = this.bytes(name)
    return new Uint32Array(buffer)
  }
}

/** A tensor and all its rows. */
export interface TensorRows {
  readonly tensor: ModelTensor
  readonly rows: WeightRows
}

/** The 32-bit words of a row of a tensor. */
export interface Column {
  readonly codes: Uint32Array
  readonly scales: Uint32Array
}

/** The rows of tensors, one after another: the columns of the matrix that they make. */
export function columnsOf(tensors: readonly TensorRows[]): Column[] {
  return tensors.flatMap(({ rows: { codes, scales, count } }) => {
    const words = new Uint32Array(codes.slice().buffer)
    return Array.from({ length: count }, (_, row) => ({
      codes: part(words, count, row),
      scales: part(scales, count, row),
    }))
  })
}

/** What the buffers of a part hold, by name, if these are its columns. */
export function storedPart({ buffer, format }: MatrixPart, columns: readonly Column[]): Map<string, Uint32Array> {
  const codes = columns.map((column) => column.codes)
  const scales = columns.map((column) => column.scales)
  const stored = new Map([[buffer, tiled(codes, wordSize(format))]])
  if (isQuantised(format)) stored.set(scalesOf(buffer), tiled(scales, 1))
  return stored
}

/** Fails unless two arrays hold the same bytes. */
export function expectSameWords(actual: Uint32Array, expected: Uint32Array, what: string): void {
  expect(actual.length, what).toBe(expected.length)
  if (Buffer.compare(bytesOf(actual), bytesOf(expected)) === 0) return
  const at = actual.findIndex((word, i) => word !== expected[i])
  expect.fail(`${what}: word ${at} is ${actual[at]?.toString(16)}, not ${expected[at]?.toString(16)}`)
}

function bytesOf({ buffer, byteOffset, byteLength }: Uint32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}

/** 32-bit words that stay together: four inputs of a plain format, a word of codes of a quantised one. */
export function wordSize({ codes }: WeightFormat): number {
  if (codes === 'f32') return 4
  return codes === 'u4' || codes === 'u8' ? 1 : 2
}

/** [tile][word][32 columns][size of a word], 0 where there is no column. */
export function tiled(columns: readonly Uint32Array[], size: number): Uint32Array {
  const words = (columns[0]?.length ?? 0) / size
  const tiles = Math.ceil(columns.length / 32)
  const stored = new Uint32Array(tiles * words * 32 * size)
  for (const [column, own] of columns.entries()) {
    const tile = Math.floor(column / 32)
    for (const [at, value] of own.entries()) {
      const word = Math.floor(at / size)
      stored[((tile * words + word) * 32 + (column % 32)) * size + (at % size)] = value
    }
  }
  return stored
}

/** Part `index` of `count` equal ones. */
function part(words: Uint32Array, count: number, index: number): Uint32Array {
  const size = words.length / count
  return words.subarray(index * size, (index + 1) * size)
}
