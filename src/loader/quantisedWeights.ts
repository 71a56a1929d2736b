/**
 * Weights whose plain matrices are quantised while they are loaded. Norms and biases stay as they are, and so do matrices that are
 * quantised already or whose inputs are no whole number of groups. It must never know where the weights come from.
 */

import type { ModelTensor, ModelWeights } from '../backend/backend.ts'
import { assert } from '../util/math.ts'
import { isQuantised } from '../weights/format.ts'
import { type QuantisedTo, quantisedFormat, quantiseRows } from '../weights/quantise.ts'

/** Under `int4` the LM head has 8 bits, the embedding too where it is the head: its errors go straight into the logits. */
export function quantisedWeights(weights: ModelWeights, to: QuantisedTo): ModelWeights {
  const tied = !weights.tensors.some(({ role }) => role === 'lmHead')
  const plans = new Map(weights.tensors.map((tensor) => [tensor.name, quantised(tensor, to, tied)]))
  const planOf = ({ name }: ModelTensor): Quantised => {
    const plan = plans.get(name)
    assert(plan, `${name} is a tensor of the model`)
    return plan
  }
  return {
    tensors: weights.tensors.map((tensor) => planOf(tensor).tensor),
    read: (tensors, sink, options) => {
      const take: typeof sink = (stored, firstRow, rows) => {
        const { tensor, bits } = planOf(stored)
        return sink(tensor, firstRow, bits ? quantiseRows(rows, bits) : rows)
      }
      return weights.read(
        tensors.map((tensor) => planOf(tensor).stored),
        take,
        options,
      )
    },
  }
}

interface Quantised {
  /** as the files have it */
  readonly stored: ModelTensor
  readonly tensor: ModelTensor
  /** undefined: stays */
  readonly bits: QuantisedTo | undefined
}

function quantised(stored: ModelTensor, to: QuantisedTo, tied: boolean): Quantised {
  const { role, shape, format } = stored
  const [, inputs] = shape
  const stays = { stored, tensor: stored, bits: undefined }
  if (inputs === undefined || isQuantised(format)) return stays
  const isHead = role === 'lmHead' || (role === 'embed' && tied)
  const bits = isHead ? 'int8' : to
  const target = quantisedFormat(bits, inputs)
  return target ? { stored, tensor: { ...stored, format: target }, bits } : stays
}
