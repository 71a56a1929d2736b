/**
 * The dense half of a model: everything but attention, as calls on rows. All arrays are f32, row-major; every result is the
 * caller's. The bits of a row depend on that row alone, not on the rows beside it. It must never know positions beyond the
 * drafter's first, the KV cache, or requests.
 */

import type { ModelSpec } from '../models/modelSpec.ts'
import { assert } from '../util/math.ts'
import type { EmbeddingRows } from './embeddingRows.ts'
import type { RowSession, Rows } from './session.ts'
import type { SessionName } from './sessionPlans.ts'
import { takeRows } from './takeRows.ts'

/** Weights of the RMSNorm on each query and key head, which belongs to attention. */
export interface HeadNorms {
  readonly q: Float32Array // [headDim]
  readonly k: Float32Array // [headDim]
}

/** What `loadDense` made. */
export interface DenseParts {
  readonly spec: ModelSpec
  readonly sessions: ReadonlyMap<SessionName, RowSession>
  readonly embeddings: EmbeddingRows
  /** [numLayers]; undefined: the family has none of this kind */
  readonly headNorms: readonly HeadNorms[] | undefined
  /** of the drafter's block */
  readonly drafterHeadNorms: HeadNorms | undefined
}

export class DenseModel {
  readonly spec: ModelSpec
  readonly headNorms: readonly HeadNorms[] | undefined // [numLayers]
  readonly drafterHeadNorms: HeadNorms | undefined
  readonly #sessions: ReadonlyMap<SessionName, RowSession>
  readonly #embeddings: EmbeddingRows

  constructor({ spec, sessions, embeddings, headNorms, drafterHeadNorms }: DenseParts) {
    this.spec = spec
    this.headNorms = headNorms
    this.drafterHeadNorms = drafterHeadNorms
    this.#sessions = sessions
    this.#embeddings = embeddings
  }

  /** of the embedding matrix, in host memory */
  get embeddingBytes(): number {
    return this.#embeddings.bytes
  }

  /** Writes the embeddings of the first `count` ids, times embeddingScale, into `out`, [count][hiddenSize]. */
  embed(ids: Int32Array, count: number, out: Float32Array): void {
    this.#embeddings.lookUp(ids, count, out)
    const { embeddingScale, hiddenSize } = this.spec
    if (embeddingScale === 1) return
    const scale = Math.fround(embeddingScale)
    for (let i = 0; i < count * hiddenSize; i++) out[i] = (out[i] as number) * scale
  }

  /** As `embed` for the drafter: zero at position 0 in families whose drafter has it so. */
  embedNext(ids: Int32Array, positions: Int32Array, count: number, out: Float32Array): void {
    this.embed(ids, count, out)
    if (!this.spec.mtp?.maskFirstEmbedding) return
    const { hiddenSize } = this.spec
    for (let row = 0; row < count; row++) {
      if (positions[row] === 0) out.fill(0, row * hiddenSize, (row + 1) * hiddenSize)
    }
  }

  /**
   * @param x embeddings, [rows][hiddenSize]
   * @returns queries, keys and values of layer 0, [rows][(numHeads + 2 · numKvHeads) · headDim], before RoPE and QK-norm of each head
   */
  async first(x: Float32Array): Promise<Float32Array> {
    const { qkv } = await this.#run('first', { x }, ['qkv'])
    return qkv
  }

  /**
   * From the attention of layer `layer` to the next one's.
   * @param layer 0…numLayers - 2
   * @param attention [rows][numHeads · headDim]
   * @param x residual stream before the layer, [rows][hiddenSize]
   * @returns the residual stream after the layer, and queries, keys and values of the next
   */
  async middle(
    layer: number,
    attention: Float32Array,
    x: Float32Array,
  ): Promise<{ readonly x: Float32Array; readonly qkv: Float32Array }> {
    const { sum, qkv } = await this.#run(`middle${layer}`, { attention, x }, ['sum', 'qkv'])
    return { x: sum, qkv }
  }

  /**
   * From the last layer's attention to the logits of the rows `sampled`, [sampled.length][vocabSize]. With `hidden`, also the
   * output of the final norm of all rows, [rows][hiddenSize], for the drafter; without it the other rows are not computed.
   */
  async last(
    attention: Float32Array,
    x: Float32Array,
    sampled: Int32Array,
    hidden: boolean,
  ): Promise<{ readonly hidden: Float32Array | undefined; readonly logits: Float32Array }> {
    const { hiddenSize, numHeads, headDim } = this.spec
    if (hidden) {
      const all = await this.#run('last', { attention, x }, ['hidden'])
      return { hidden: all.hidden, logits: await this.#logits('head', takeRows(all.hidden, sampled, hiddenSize)) }
    }
    if (sampled.length === 0) return { hidden: undefined, logits: new Float32Array(0) }
    const taken = { attention: takeRows(attention, sampled, numHeads * headDim), x: takeRows(x, sampled, hiddenSize) }
    const some = await this.#run('last', taken, ['hidden'])
    return { hidden: undefined, logits: await this.#logits('head', some.hidden) }
  }

  /**
   * The drafter up to its attention.
   * @param embedding of the tokens after the rows (`embedNext`), [rows][hiddenSize]
   * @param hidden the target's final hidden states, or the drafter's own of the draft before, [rows][hiddenSize]
   * @returns u, [rows][hiddenSize], and queries, keys and values
   */
  async drafterInput(
    embedding: Float32Array,
    hidden: Float32Array,
  ): Promise<{ readonly u: Float32Array; readonly qkv: Float32Array }> {
    const { sum, qkv } = await this.#run('drafterInput', { embedding, hidden }, ['sum', 'qkv'])
    return { u: sum, qkv }
  }

  /**
   * The drafter from its attention on.
   * @param u as `drafterInput` returned it
   * @returns z, [rows][hiddenSize], and logits over the draft vocabulary, or over all of it
   */
  async drafterOutput(
    attention: Float32Array,
    u: Float32Array,
  ): Promise<{ readonly z: Float32Array; readonly logits: Float32Array }> {
    const { hidden } = await this.#run('drafterOutput', { attention, x: u }, ['hidden'])
    const name = this.#sessions.has('draftHead') ? 'draftHead' : 'head'
    return { z: hidden, logits: await this.#logits(name, hidden) }
  }

  async release(): Promise<void> {
    await Promise.all([...this.#sessions.values()].map((session) => session.release()))
  }

  async #logits(name: SessionName, hidden: Float32Array): Promise<Float32Array> {
    if (hidden.length === 0) return new Float32Array(0)
    const { logits } = await this.#run(name, { hidden }, ['logits'])
    return logits
  }

  async #run<Output extends string>(
    name: SessionName,
    inputs: Rows,
    outputs: readonly Output[],
  ): Promise<{ readonly [name in Output]: Float32Array }> {
    const session = this.#sessions.get(name)
    assert(session, `the model has a session ${name}`)
    const hiddenSized = inputs.x ?? inputs.hidden
    const results = await session.run(inputs, (hiddenSized?.length ?? 0) / this.spec.hiddenSize)
    assert(
      outputs.every((output) => results[output] !== undefined),
      `session ${name} returns ${outputs.join(' and ')}`,
    )
    return results as { readonly [name in Output]: Float32Array }
  }
}
