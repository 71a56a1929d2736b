/**
 * A model on the processor: its dense half in ONNX Runtime, attention and the KV cache in a module of our own, in turns. It must
 * never know requests, sampling or verification.
 */

import { BLOCK_SIZE } from '../core/cost.ts'
import type { StepGeometry } from '../core/stepGeometry.ts'
import { type HostModel, NO_SLOT, type RowBatch } from '../host/hostModel.ts'
import { likeliestToken, NO_TOKEN } from '../host/sampling/choice.ts'
import { assert, at } from '../util/math.ts'
import type { Attention } from './attention.ts'
import type { DenseModel } from './denseModel.ts'
import { takeRows } from './takeRows.ts'

export interface OrtModelParts {
  readonly dense: DenseModel
  readonly attention: Attention
  readonly geometry: StepGeometry
  /** token ids that drafts are limited to, ascending; undefined: all */
  readonly draftVocab: readonly number[] | undefined
}

export class OrtModel implements HostModel {
  readonly #parts: OrtModelParts
  /** the target's final hidden state of each token, by KV slot: the input of the drafter's KV pass; empty without a drafter */
  readonly #hiddenStates: Float32Array // [totalBlocks · BLOCK_SIZE][hiddenSize]
  readonly #embedded: Float32Array // [B][hiddenSize]
  readonly #hidden: Float32Array // [B][hiddenSize], of the rows of a KV pass; empty without a drafter
  /** of the latest KV pass: u of its rows */
  #u: Float32Array = new Float32Array(0) // [rows][hiddenSize]
  /** of the latest draft pass: z of its rows */
  #z: Float32Array = new Float32Array(0) // [rows][hiddenSize]

  constructor(parts: OrtModelParts) {
    const { dense, geometry } = parts
    const { hiddenSize } = dense.spec
    const { rows, totalBlocks, drafts } = geometry
    this.#parts = parts
    this.#embedded = new Float32Array(rows * hiddenSize)
    this.#hidden = new Float32Array(drafts > 0 ? rows * hiddenSize : 0)
    this.#hiddenStates = new Float32Array(drafts > 0 ? totalBlocks * BLOCK_SIZE * hiddenSize : 0)
  }

  async forward(rows: RowBatch, sampled: Int32Array): Promise<Float32Array> {
    const { dense, geometry } = this.#parts
    const { numLayers } = dense.spec
    dense.embed(rows.ids, rows.count, this.#embedded)
    let x = this.#rowsOf(this.#embedded, rows.count)
    let qkv = await dense.first(x)
    for (let layer = 0; layer < numLayers - 1; layer++) {
      const next = await dense.middle(layer, this.#attend(layer, rows, qkv), x)
      x = next.x
      qkv = next.qkv
    }
    const attended = this.#attend(numLayers - 1, rows, qkv)
    const { hidden, logits } = await dense.last(attended, x, sampled, geometry.drafts > 0)
    if (hidden) this.#storeHidden(rows, hidden)
    return logits
  }

  async kvPass(rows: RowBatch): Promise<void> {
    const { dense, attention } = this.#parts
    const { count } = rows
    for (let row = 0; row < count; row++) {
      const slot = at(rows.slots, row)
      assert(slot !== NO_SLOT, 'a row of the KV pass has a slot')
      this.#rowOf(this.#hidden, row).set(this.#rowOf(this.#hiddenStates, slot))
    }
    const { u, qkv } = await this.#drafterInput(rows, this.#rowsOf(this.#hidden, count))
    attention.qkv.set(qkv)
    attention.writeKv(dense.spec.numLayers, rows, true)
    this.#u = u
  }

  async draft(rows: RowBatch, sources: Int32Array | undefined): Promise<Int32Array> {
    const { dense, attention } = this.#parts
    const cache = dense.spec.numLayers
    let u: Float32Array
    let attended: Float32Array
    if (sources) {
      // The KV pass has prepared the queries of its rows as well.
      const { qkv } = attention
      qkv.set(takeRows(qkv, sources, this.#qkvWidth))
      u = takeRows(this.#u, sources, dense.spec.hiddenSize)
      attention.attend(cache, rows)
      attended = this.#attentionOf(rows)
    } else {
      const input = await this.#drafterInput(rows, this.#rowsOf(this.#z, rows.count))
      u = input.u
      attended = this.#attend(cache, rows, input.qkv)
    }
    const { z, logits } = await dense.drafterOutput(attended, u)
    this.#z = z
    return this.#likeliest(logits, rows.count)
  }

  /** [rows][numHeads · headDim], valid until the next call */
  #attend(cache: number, rows: RowBatch, qkv: Float32Array): Float32Array {
    const { attention } = this.#parts
    attention.qkv.set(qkv)
    attention.writeKv(cache, rows, true)
    attention.attend(cache, rows)
    return this.#attentionOf(rows)
  }

  #drafterInput(rows: RowBatch, hidden: Float32Array): ReturnType<DenseModel['drafterInput']> {
    const { dense } = this.#parts
    dense.embedNext(rows.ids, rows.positions, rows.count, this.#embedded)
    return dense.drafterInput(this.#rowsOf(this.#embedded, rows.count), hidden)
  }

  #storeHidden({ count, slots }: RowBatch, hidden: Float32Array): void {
    for (let row = 0; row < count; row++) {
      const slot = at(slots, row)
      if (slot !== NO_SLOT) this.#rowOf(this.#hiddenStates, slot).set(this.#rowOf(hidden, row))
    }
  }

  /** The likeliest token of each row of the draft head; 0 where a logit is not finite. */
  #likeliest(logits: Float32Array, count: number): Int32Array {
    const { draftVocab, geometry } = this.#parts
    const { draftVocab: columns } = geometry
    return Int32Array.from({ length: count }, (_, row) => {
      const column = likeliestToken(logits.subarray(row * columns, (row + 1) * columns))
      if (column === NO_TOKEN) return 0
      return draftVocab ? at(draftVocab, column) : column
    })
  }

  get #qkvWidth(): number {
    const { numHeads, numKvHeads, headDim } = this.#parts.dense.spec
    return (numHeads + 2 * numKvHeads) * headDim
  }

  #attentionOf({ count }: RowBatch): Float32Array {
    const { dense, attention } = this.#parts
    return attention.out.subarray(0, count * dense.spec.numHeads * dense.spec.headDim)
  }

  /** Row `row` of an array [rows][hiddenSize]. */
  #rowOf(values: Float32Array, row: number): Float32Array {
    const { hiddenSize } = this.#parts.dense.spec
    return values.subarray(row * hiddenSize, (row + 1) * hiddenSize)
  }

  /** The first `count` rows of an array [rows][hiddenSize]. */
  #rowsOf(values: Float32Array, count: number): Float32Array {
    return values.subarray(0, count * this.#parts.dense.spec.hiddenSize)
  }
}
