/** The tensors that no session takes: the embedding matrix in its own format, and the weights of each head's QK-norm as f32. */

import type { ModelTensor } from '../backend/backend.ts'
import type { ModelSpec } from '../models/modelSpec.ts'
import { dequantiseRows } from '../weights/dequantise.ts'
import type { WeightRows } from '../weights/format.ts'
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

  /** Copies rows of a tensor if it is one of them. */
  add(tensor: ModelTensor, firstRow: number, rows: WeightRows): void {
    const { vocabSize, hiddenSize } = this.#spec
    if (tensor.role === 'embed') {
      this.#embeddings ??= new EmbeddingRows(tensor.format, vocabSize, hiddenSize)
      this.#embeddings.set(firstRow, rows)
    }
    if (!isKept(this.#spec, tensor) || tensor.role === 'embed') return
    const values = new Float32Array(rows.inputs)
    dequantiseRows(rows, values)
    this.#norms.set(`${tensor.part} ${tensor.layer} ${tensor.role}`, values)
  }

  /** undefined until all rows have come */
  get embeddings(): EmbeddingRows | undefined {
    return this.#embeddings?.complete ? this.#embeddings : undefined
  }

  /** [numLayers]; undefined while one is missing, and in a family without QK-norm of heads */
  get headNorms(): readonly HeadNorms[] | undefined {
    const norms = Array.from({ length: this.#spec.numLayers }, (_, layer) => this.#headNorms('model', layer))
    return norms.every((norm) => norm !== undefined) ? norms : undefined
  }

  get drafterHeadNorms(): HeadNorms | undefined {
    return this.#headNorms('mtp', 0)
  }

  #headNorms(part: ModelTensor['part'], layer: number): HeadNorms | undefined {
    const q = this.#norms.get(`${part} ${layer} qNorm`)
    const k = this.#norms.get(`${part} ${layer} kNorm`)
    return q && k ? { q, k } : undefined
  }
}

/** Whether the host keeps a tensor. */
export function isKept({ qkNorm }: Pick<ModelSpec, 'qkNorm'>, { role }: Pick<ModelTensor, 'role'>): boolean {
  return role === 'embed' || (qkNorm === 'head' && (role === 'qNorm' || role === 'kNorm'))
}
