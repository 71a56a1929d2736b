/** Models of any combination of properties: every session, and the model as a whole, against float64. */

import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import type { ModelSpec } from '../../../src/models/modelSpec.ts'
import type { WeightRole } from '../../../src/models/weightNames.ts'
import type { Ort } from '../../../src/ort/runtime.ts'
import { at } from '../../../src/util/math.ts'
import { anySpec } from '../../helpers/anySpec.ts'
import { outputsWithOtherBits, relativeError, sessionErrors } from '../../helpers/denseChecks.ts'
import { DenseReference, randomTensors, type StoredTensor } from '../../helpers/denseReference.ts'
import { FULL } from '../../helpers/full.ts'
import { referencePass } from '../../helpers/modelReference.ts'
import { nodeOrt } from '../../helpers/ort.ts'
import { loadAll, logitsOf } from '../../helpers/ortModels.ts'
import { randomInts } from '../../helpers/random.ts'

/** The same models in every run. */
const RUNS = { numRuns: FULL ? 150 : 12, seed: 16, endOnFailure: true }
const MAX_MODEL_LEN = 64

let ort: Ort

beforeAll(async () => {
  ort = await nodeOrt()
})

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
      const model = await loadAll(ort, spec, tensors, quantization)
      const errors = await sessionErrors(model, new DenseReference(spec, tensors, quantization))
      await model.release()
      for (const [output, error] of Object.entries(errors)) expect(error, output).toBeLessThan(tolerance)
    }),
  )

  it.each(['none', 'w8a8'] as const)('give a row the same bits in any batch, quantization %s', (quantization) =>
    everyModel(async (spec, tensors) => {
      const model = await loadAll(ort, spec, tensors, quantization)
      expect(await outputsWithOtherBits(model, [2, 3, 5, 8, 17])).toEqual([])
      await model.release()
    }),
  )
})

describe('a model of any properties', () => {
  it('gives the logits of float64 in mixed batches, and the bits of each request alone', () =>
    everyModel(async (spec, tensors) => {
      const dense = await loadAll(ort, spec, tensors)
      const lengths = [40, 23, 7]
      const ids = lengths.map((length, index) => [...randomInts(index + 1, length, spec.vocabSize)])
      const reference = new DenseReference(spec, tensors)
      const weights = (role: WeightRole, layer?: number) => reference.weight('model', layer, role)

      const together = await logitsOf(dense, MAX_MODEL_LEN, ids, [
        [17, 1, 0],
        [1, 20, 3],
        [22, 1, 1],
        [0, 1, 3],
      ])
      for (const [request, logits] of together.entries()) {
        const pass = referencePass(spec, weights, at(ids, request), { maxModelLen: MAX_MODEL_LEN })
        const expected = logits.map((_, row) => [...pass.logits(row)])
        expect(relativeError(logits.flat(), expected)).toBeLessThan(1e-4)
        const alone = await logitsOf(dense, MAX_MODEL_LEN, [at(ids, request)], [[1], [at(lengths, request) - 1]])
        expect(alone).toEqual([logits])
      }
      await dense.release()
    }))
})
