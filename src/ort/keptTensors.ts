/** The tensors that no session takes: the embedding matrix as it is stored, and the weights of each head's QK-norm as f32. */

import type { CheckedTensor } from '../models/checkTensors.ts'
import type { ModelSpec } from '../models/modelSpec.ts'
import { decodeWeights, WEIGHT_BYTES, WEIGHT_DTYPES } from '../weights/decode.ts'
import type { HeadNorms } from './denseModel.ts'
import { EmbeddingRows } from './embeddingRows.ts'

export class KeptTensors {
  readonly #spec: ModelSpec
  #embeddings: EmbeddingRows | undefined
  /** by part, layer and role */
  readonly #norms = new Map<string, Float32Array>()

  constructor(spec: ModelSpec) {
    this.#spec = spec
  }

  /** Keeps the tensor if it is one of them. @param data not copied */
  add({ part, layer, role, dtype }: CheckedTensor, data: Uint8Array): void {
    const format = WEIGHT_DTYPES[dtype]
    if (role === 'embed') this.#embeddings = new EmbeddingRows(data, format, this.#spec.hiddenSize)
    if (this.#spec.qkNorm !== 'head' || (role !== 'qNorm' && role !== 'kNorm')) return
    const values = new Float32Array(data.byteLength / WEIGHT_BYTES[format])
    decodeWeights(data, format, values)
    this.#norms.set(`${part} ${layer} ${role}`, values)
  }

  get embeddings(): EmbeddingRows | undefined {
    return this.#embeddings
  }

  /** [numLayers]; undefined while one is missing, and in a family without QK-norm of heads */
  get headNorms(): readonly HeadNorms[] | undefined {
    const norms = Array.from({ length: this.#spec.numLayers }, (_, layer) => this.#headNorms('model', layer))
    return norms.every((norm) => norm !== undefined) ? norms : undefined
  }

  get drafterHeadNorms(): HeadNorms | undefined {
    return this.#headNorms('mtp', 0)
  }

  complete(withDrafter: boolean): boolean {
    if (!this.#embeddings) return false
    return (
      this.#spec.qkNorm !== 'head' ||
      (this.headNorms !== undefined && (!withDrafter || this.drafterHeadNorms !== undefined))
    )
  }

  #headNorms(part: CheckedTensor['part'], layer: number): HeadNorms | undefined {
    const q = this.#norms.get(`${part} ${layer} qNorm`)
    const k = this.#norms.get(`${part} ${layer} kNorm`)
    return q && k ? { q, k } : undefined
  }
}
