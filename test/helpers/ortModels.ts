/** Whole models on the processor, without an engine: loaded from tensors in memory, and their logits for given tokens. */

import { BLOCK_SIZE } from '../../src/core/cost.ts'
import { stepGeometry } from '../../src/core/stepGeometry.ts'
import type { ModelSpec } from '../../src/models/modelSpec.ts'
import { Attention } from '../../src/ort/attention.ts'
import { kvName } from '../../src/ort/attentionPlan.ts'
import { setNorms } from '../../src/ort/createOrtRunner.ts'
import type { DenseModel } from '../../src/ort/denseModel.ts'
import { loadDense } from '../../src/ort/loadDense.ts'
import { OrtModel } from '../../src/ort/ortModel.ts'
import { attentionShape } from '../../src/ort/ortPlan.ts'
import type { Ort } from '../../src/ort/runtime.ts'
import type { Quantization } from '../../src/protocol/engineOptions.ts'
import { at } from '../../src/util/math.ts'
import { batchOf, scatteredBlocks, type Tokens, tokensOf } from './attentionRig.ts'
import { rowsOf } from './denseChecks.ts'
import { type StoredTensor, streamOf } from './denseReference.ts'
import { engineOptions } from './testEngine.ts'

/** most rows of a pass */
const ROWS = 64
const CACHE_TOKENS = 256

/** The dense half, with the drafter if there is one. */
export function loadAll(
  ort: Ort,
  spec: ModelSpec,
  tensors: readonly StoredTensor[],
  quantization: Quantization = 'none',
): Promise<DenseModel> {
  const weights = streamOf(tensors, (name) => name.includes('embed_tokens'))
  const withDrafter = spec.mtp !== undefined
  return loadDense({ spec, weights, withDrafter, quantization, createSession: ort.createSession })
}

/**
 * The logits after every token of each request, over a cache that was NaN before.
 * @param chunks how many tokens of each request a pass takes
 */
export async function logitsOf(
  dense: DenseModel,
  maxModelLen: number,
  ids: readonly (readonly number[])[],
  chunks: readonly (readonly number[])[],
): Promise<number[][][]> {
  const { spec } = dense
  const options = engineOptions({ maxModelLen, maxNumBatchedTokens: ROWS, kvCacheTokens: CACHE_TOKENS })
  const geometry = stepGeometry(spec.vocabSize, options)
  const shape = attentionShape(spec, geometry.drafts)
  const attention = await Attention.create(shape, { ...geometry, maxModelLen })
  for (const cache of spec.layers.keys()) attention.memory.floats(kvName(cache)).fill(Number.NaN)
  setNorms(attention, dense, false)
  const model = new OrtModel({ dense, attention, geometry, draftVocab: undefined })
  const blocks = scatteredBlocks(CACHE_TOKENS / BLOCK_SIZE, 1)
  const tokens: Tokens[] = ids.map(({ length }, index) => tokensOf(index, blocks(length)))
  const done = ids.map(() => 0)
  const logits: number[][][] = ids.map(() => [])
  for (const chunk of chunks) {
    const parts = chunk
      .map((rows, request) => ({ request, rows, tokens: at(tokens, request), position: at(done, request) }))
      .filter(({ rows }) => rows > 0)
    const batch = batchOf(parts)
    batch.ids.set(parts.flatMap(({ request, position, rows }) => at(ids, request).slice(position, position + rows)))
    const all = Int32Array.from({ length: batch.count }, (_, row) => row)
    const rows = rowsOf(await model.forward(batch, all), batch.count)
    for (const part of parts) {
      done[part.request] = part.position + part.rows
      logits[part.request]?.push(...rows.splice(0, part.rows))
    }
  }
  return logits
}
