/** A whole model in float64, without a KV cache: every row again from the tokens alone. */

import type { ModelSpec } from '../../src/models/modelSpec.ts'
import { attentionShape } from '../../src/ort/ortPlan.ts'
import { at } from '../../src/util/math.ts'
import { attendRow, prepareRow } from './attentionReference.ts'
import { DenseReference, type StoredTensor } from './denseReference.ts'

export class ModelReference {
  readonly #spec: ModelSpec
  readonly #dense: DenseReference
  readonly #maxModelLen: number

  constructor(spec: ModelSpec, tensors: readonly StoredTensor[], maxModelLen: number) {
    this.#spec = spec
    this.#dense = new DenseReference(spec, tensors)
    this.#maxModelLen = maxModelLen
  }

  /** The logits after each token. */
  logits(ids: readonly number[]): number[][] {
    let rows = ids.map((id) => this.#dense.embed(id))
    for (let layer = 0; layer < this.#spec.numLayers; layer++) rows = this.#block(layer, rows)
    return rows.map((row) => this.#dense.logits(this.#dense.finalNorm('model', row)))
  }

  #block(layer: number, rows: readonly number[][]): number[][] {
    const dense = this.#dense
    const shape = attentionShape(this.#spec, 0)
    const properties = at(this.#spec.layers, layer)
    const norms = shape.headNorm
      ? ([dense.weight('model', layer, 'qNorm'), dense.weight('model', layer, 'kNorm')] as const)
      : ([new Float32Array(), new Float32Array()] as const)
    const prepared = rows.map((row, position) => {
      const qkv = Float64Array.from(dense.qkv('model', layer, row))
      prepareRow(shape, properties, this.#maxModelLen, norms, qkv, position)
      return qkv
    })
    return rows.map((row, position) => {
      const attention = attendRow(shape, properties, prepared.slice(0, position + 1))
      return dense.block('model', layer, [...attention], row)
    })
  }
}
