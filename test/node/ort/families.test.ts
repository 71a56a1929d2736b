/** Models of any combination of properties: every session, and the model as a whole, against float64. */

import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { BLOCK_SIZE } from '../../../src/core/cost.ts'
import { stepGeometry } from '../../../src/core/stepGeometry.ts'
import type { ModelSpec } from '../../../src/models/modelSpec.ts'
import type { WeightRole } from '../../../src/models/weightNames.ts'
import { Attention } from '../../../src/ort/attention.ts'
import { kvName } from '../../../src/ort/attentionPlan.ts'
import { setNorms } from '../../../src/ort/createOrtRunner.ts'
import type { DenseModel } from '../../../src/ort/denseModel.ts'
import { loadDense } from '../../../src/ort/loadDense.ts'
import { OrtModel } from '../../../src/ort/ortModel.ts'
import { attentionShape } from '../../../src/ort/ortPlan.ts'
import type { Ort } from '../../../src/ort/runtime.ts'
import type { Quantization } from '../../../src/protocol/engineOptions.ts'
import { at } from '../../../src/util/math.ts'
import { anySpec } from '../../helpers/anySpec.ts'
import { batchOf, scatteredBlocks, type Tokens, tokensOf } from '../../helpers/attentionRig.ts'
import { outputsWithOtherBits, relativeError, rowsOf, sessionErrors } from '../../helpers/denseChecks.ts'
import { DenseReference } from '../../helpers/denseReference.ts'
import { FULL } from '../../helpers/full.ts'
import { weightsOf } from '../../helpers/memoryWeights.ts'
import { referencePass } from '../../helpers/modelReference.ts'
import { nodeOrt } from '../../helpers/ort.ts'
import { randomInts } from '../../helpers/random.ts'
import { randomTensors, type StoredTensor } from '../../helpers/storedTensors.ts'
import { engineOptions } from '../../helpers/testEngine.ts'

/** The same models in every run. */
const RUNS = { numRuns: FULL ? 150 : 12, seed: 16, endOnFailure: true }
const MAX_MODEL_LEN = 64

let ort: Ort

beforeAll(async () => {
  ort = await nodeOrt()
})

function load(
  spec: ModelSpec,
  tensors: readonly StoredTensor[],
  quantization: Quantization = 'none',
): Promise<DenseModel> {
  const withDrafter = spec.mtp !== undefined
  return loadDense({ spec, weights: weightsOf(tensors), withDrafter, quantization, createSession: ort.createSession })
}

/** Runs `check` on models of drawn specs. */
function everyModel(check: (spec: ModelSpec, tensors: readonly StoredTensor[]) => Promise<void>): Promise<void> {
  return fc.assert(
    fc.asyncProperty(anySpec, fc.nat(1e6), (spec, seed) => check(spec, randomTensors(spec, seed))),
    RUNS,
  )
}

describe('sessions of a model of any properties', () => {
  // A row that is quantised the other way at a tie differs by a step of 1 / 127.
  it.each([
    ['none', 2e-5],
    ['w8a8', 1e-2],
  ] as const)('compute what float64 does, quantization %s', (quantization, tolerance) =>
    everyModel(async (spec, tensors) => {
      const model = await load(spec, tensors, quantization)
      const errors = await sessionErrors(model, new DenseReference(spec, tensors, quantization))
      await model.release()
      for (const [output, error] of Object.entries(errors)) expect(error, output).toBeLessThan(tolerance)
    }),
  )

  it.each(['none', 'w8a8'] as const)('give a row the same bits in any batch, quantization %s', (quantization) =>
    everyModel(async (spec, tensors) => {
      const model = await load(spec, tensors, quantization)
      expect(await outputsWithOtherBits(model, [2, 3, 5, 8, 17])).toEqual([])
      await model.release()
    }),
  )
})

describe('a model of any properties', () => {
  it('gives the logits of float64 in mixed batches, and the bits of each request alone', () =>
    everyModel(async (spec, tensors) => {
      const dense = await load(spec, tensors)
      const lengths = [40, 23, 7]
      const ids = lengths.map((length, index) => [...randomInts(index + 1, length, spec.vocabSize)])
      const reference = new DenseReference(spec, tensors)
      const weights = (role: WeightRole, layer?: number) => reference.weight('model', layer, role)

      const together = await logitsOf(dense, ids, [
        [17, 1, 0],
        [1, 20, 3],
        [22, 1, 1],
        [0, 1, 3],
      ])
      for (const [request, logits] of together.entries()) {
        const pass = referencePass(spec, weights, at(ids, request), { maxModelLen: MAX_MODEL_LEN })
        const expected = logits.map((_, row) => [...pass.logits(row)])
        expect(relativeError(logits.flat(), expected)).toBeLessThan(1e-4)
        const alone = await logitsOf(dense, [at(ids, request)], [[1], [at(lengths, request) - 1]])
        expect(alone).toEqual([logits])
      }
      await dense.release()
    }))
})

/**
 * The logits after every token of each request.
 * @param chunks how many tokens of each request a pass takes
 */
async function logitsOf(
  dense: DenseModel,
  ids: readonly (readonly number[])[],
  chunks: readonly (readonly number[])[],
): Promise<number[][][]> {
  const { spec } = dense
  const options = engineOptions({ maxModelLen: MAX_MODEL_LEN, maxNumBatchedTokens: 64, kvCacheTokens: 160 })
  const geometry = stepGeometry(spec.vocabSize, options)
  const shape = attentionShape(spec, geometry.drafts)
  const attention = await Attention.create(shape, { ...geometry, maxModelLen: MAX_MODEL_LEN })
  for (const cache of spec.layers.keys()) attention.memory.floats(kvName(cache)).fill(Number.NaN)
  setNorms(attention, dense, false)
  const model = new OrtModel({ dense, attention, geometry, draftVocab: undefined })
  const blocks = scatteredBlocks(160 / BLOCK_SIZE, 1)
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
