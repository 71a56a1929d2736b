/** The embedding matrix in host memory as the checkpoint stores it, decoded row by row. */

import { assert } from '../util/math.ts'
import { decodeWeights, WEIGHT_BYTES, type WeightDtype } from '../weights/decode.ts'

export class EmbeddingRows {
  /** [vocabSize][hiddenSize] */
  readonly bytes: Uint8Array
  readonly dtype: WeightDtype
  readonly #rowBytes: number

  /** @param bytes kept, not copied */
  constructor(bytes: Uint8Array, dtype: WeightDtype, hiddenSize: number) {
    this.bytes = bytes
    this.dtype = dtype
    this.#rowBytes = hiddenSize * WEIGHT_BYTES[dtype]
  }

  /** Writes the f32 embeddings of the first `count` ids into `out`, [count][hiddenSize]. */
  lookUp(ids: Int32Array, count: number, out: Float32Array): void {
    const width = this.#rowBytes / WEIGHT_BYTES[this.dtype]
    for (let row = 0; row < count; row++) {
      const begin = (ids[row] ?? -1) * this.#rowBytes
      assert(begin >= 0 && begin < this.bytes.length, `id ${ids[row]} of row ${row} is in the vocabulary`)
      decodeWeights(this.bytes.subarray(begin, begin + this.#rowBytes), this.dtype, out, row * width)
    }
  }
}
