/** What holds of the sessions of any model: they compute what float64 does, and no row changes the bits of another. */

import type { ModelSpec } from '../../src/models/modelSpec.ts'
import type { DenseModel } from '../../src/ort/denseModel.ts'
import { at } from '../../src/util/math.ts'
import { type DenseReference, randomRows } from './denseReference.ts'

/** Inputs of every session, for `rows` rows. */
export function inputsOf(spec: ModelSpec, rows: number) {
  return {
    x: randomRows(1, rows, spec.hiddenSize),
    hidden: randomRows(2, rows, spec.hiddenSize),
    attention: randomRows(3, rows, spec.numHeads * spec.headDim),
  }
}

export const rowsOf = (values: Float32Array, rows: number): number[][] =>
  Array.from({ length: rows }, (_, row) => {
    const width = values.length / rows
    return [...values.subarray(row * width, (row + 1) * width)]
  })

/** The largest difference by the largest expected magnitude; infinite for a NaN or another length. */
export function relativeError(actual: ArrayLike<number> | undefined, expected: readonly (readonly number[])[]): number {
  const flat = expected.flat()
  if (!actual || actual.length !== flat.length || flat.length === 0) return Number.POSITIVE_INFINITY
  const largest = Math.max(...flat.map(Math.abs))
  const worst = Math.max(...flat.map((value, i) => Math.abs(at(actual, i) - value))) / largest
  return Number.isFinite(worst) ? worst : Number.POSITIVE_INFINITY
}

/** The error of each output of each session, for five rows. */
export async function sessionErrors(model: DenseModel, reference: DenseReference): Promise<Record<string, number>> {
  const { spec } = model
  const rows = 5
  const { x, hidden, attention } = inputsOf(spec, rows)
  const [xs, hs, as] = [rowsOf(x, rows), rowsOf(hidden, rows), rowsOf(attention, rows)]
  const qkv = (part: 'model' | 'mtp', layer: number, of: readonly number[][]) =>
    of.map((row) => reference.qkv(part, layer, row))
  const block = (part: 'model' | 'mtp', layer: number) =>
    xs.map((row, i) => reference.block(part, layer, at(as, i), row))

  const errors: Record<string, number> = { first: relativeError(await model.first(x), qkv('model', 0, xs)) }
  const lastLayer = spec.numLayers - 1
  for (let layer = 0; layer < lastLayer; layer++) {
    const sums = block('model', layer)
    const middle = await model.middle(layer, attention, x)
    errors[`middle${layer}.x`] = relativeError(middle.x, sums)
    errors[`middle${layer}.qkv`] = relativeError(middle.qkv, qkv('model', layer + 1, sums))
  }
  const finals = block('model', lastLayer).map((row) => reference.finalNorm('model', row))
  const sampled = Int32Array.of(4, 0, 0, 2)
  const logits = [...sampled].map((row) => reference.logits(at(finals, row)))
  const last = await model.last(attention, x, sampled, true)
  errors['last.hidden'] = relativeError(last.hidden, finals)
  errors['last.logits'] = relativeError(last.logits, logits)

  if (!spec.mtp) return errors
  const us = xs.map((row, i) => reference.drafterInput(row, at(hs, i)))
  const input = await model.drafterInput(x, hidden)
  errors['drafterInput.u'] = relativeError(input.u, us)
  errors['drafterInput.qkv'] = relativeError(input.qkv, qkv('mtp', 0, us))
  const zs = block('mtp', 0).map((row) => reference.finalNorm('mtp', row))
  const output = await model.drafterOutput(attention, x)
  errors['drafterOutput.z'] = relativeError(output.z, zs)
  errors['drafterOutput.logits'] = relativeError(
    output.logits,
    zs.map((row) => reference.logits(row)),
  )
  return errors
}

/** The outputs that have other bits for a row among `sizes` rows than for the row alone. */
export async function outputsWithOtherBits(model: DenseModel, sizes: readonly number[]): Promise<string[]> {
  const most = Math.max(...sizes)
  const alone: Record<string, Float32Array>[] = []
  for (let row = 0; row < most; row++) alone.push(await allOutputs(model, most, row, row + 1))
  const different = new Set<string>()
  for (const rows of sizes) {
    for (const [name, values] of Object.entries(await allOutputs(model, most, 0, rows))) {
      const width = values.length / rows
      if (width !== alone[0]?.[name]?.length) different.add(`${name}: ${width} columns`)
      for (let i = 0; i < values.length; i++) {
        const single = alone[Math.floor(i / width)]?.[name]?.[i % width]
        if (!Object.is(values[i], single) || Number.isNaN(single)) different.add(`${name} of ${rows} rows`)
      }
    }
  }
  return [...different]
}

/** Every output of every session for the rows `begin`…`end - 1` of `most`. */
async function allOutputs(
  model: DenseModel,
  most: number,
  begin: number,
  end: number,
): Promise<Record<string, Float32Array>> {
  const { spec } = model
  const { x, hidden, attention } = inputsOf(spec, most)
  const take = (values: Float32Array) => values.subarray((begin * values.length) / most, (end * values.length) / most)
  const outputs: Record<string, Float32Array> = { first: await model.first(take(x)) }
  const keep = (session: string, results: Readonly<Record<string, Float32Array | undefined>>) => {
    for (const [name, values] of Object.entries(results)) outputs[`${session}.${name}`] = values ?? new Float32Array()
  }
  for (let layer = 0; layer < spec.numLayers - 1; layer++) {
    keep(`middle${layer}`, await model.middle(layer, take(attention), take(x)))
  }
  const all = Int32Array.from({ length: end - begin }, (_row, i) => i)
  keep('last', await model.last(take(attention), take(x), all, true))
  if (spec.mtp) {
    keep('drafterInput', await model.drafterInput(take(x), take(hidden)))
    keep('drafterOutput', await model.drafterOutput(take(attention), take(x)))
  }
  return outputs
}
