/** The tensors of a model in drawn formats, as a loader lists them; and random rows of each. */

import fc from 'fast-check'
import type { ModelTensor } from '../../src/backend/backend.ts'
import type { ModelSpec } from '../../src/models/modelSpec.ts'
import { weightPlan } from '../../src/models/weightNames.ts'
import { alignTo } from '../../src/util/math.ts'
import { isQuantised, type WeightFormat } from '../../src/weights/format.ts'
import { anySpec } from './anySpec.ts'
import type { TensorRows } from './uploadTarget.ts'
import { ALL_FORMATS, BF16, F32, fits } from './weightFormats.ts'
import { randomWeight } from './weights.ts'

/** The formats that rows of `inputs` inputs may have. */
export function formatsFor(inputs: number): WeightFormat[] {
  return ALL_FORMATS.filter((format) => fits(format, inputs))
}

/** A format of rows of `inputs` inputs; two draws are often the same. */
function formatFor(inputs: number): fc.Arbitrary<WeightFormat> {
  const formats = formatsFor(inputs)
  return fc.oneof(
    { weight: 2, arbitrary: fc.constant(BF16) },
    { weight: 1, arbitrary: fc.constant(formats.at(-1) ?? F32) },
    { weight: 2, arbitrary: fc.constantFrom(...formats) },
  )
}

/** Every tensor of a model in any order; each matrix in a format of its own, or matrices of equal inputs in one. */
export function anyTensors(spec: ModelSpec): fc.Arbitrary<ModelTensor[]> {
  const plan = weightPlan(spec)
  const inputsOf = plan.map(({ shape: [, inputs] }) => inputs)
  const widths = [...new Set(inputsOf)]
  const draw = (inputs: number | undefined) => (inputs === undefined ? fc.constant(F32) : formatFor(inputs))
  const own = fc.tuple(...inputsOf.map(draw))
  const alike = fc
    .tuple(...widths.map(draw))
    .map((formats) => inputsOf.map((inputs) => formats[widths.indexOf(inputs)] ?? F32))
  return fc.oneof(own, alike).chain((formats) => {
    const made = plan.map((tensor, index): ModelTensor => ({ ...tensor, format: formats[index] ?? F32 }))
    return fc.shuffledSubarray(made, { minLength: made.length, maxLength: made.length })
  })
}

/** Specs that the kernels take, their rows wide enough for every format. */
export const anyGpuSpec: fc.Arbitrary<ModelSpec> = fc
  .record({
    spec: anySpec,
    hiddenSize: fc.constantFrom(64, 256),
    intermediateSize: fc.constantFrom(48, 64, 80),
    vocabSize: fc.integer({ min: 1, max: 150 }),
  })
  .map(({ spec, ...sizes }) => ({
    ...spec,
    ...sizes,
    headDim: alignTo(spec.headDim, 8),
    ropes: spec.ropes.map((rope) => ({ ...rope, dims: 8 })),
  }))

/** Random rows of a tensor. */
export function randomRows(tensor: ModelTensor, seed: number): TensorRows {
  const { shape, format } = tensor
  const [size = 0, inputs] = shape
  const { rows } = inputs === undefined ? randomWeight(F32, seed, 1, size) : randomWeight(format, seed, size, inputs)
  return { tensor, rows }
}

/** Whether a tensor is a matrix, and not a vector. */
export function isMatrix({ shape }: ModelTensor): boolean {
  return shape.length === 2
}

/** Bytes of a row of codes and of scales, by the definition of the formats. */
export function bytesOfRow(format: WeightFormat, inputs: number): { readonly codes: number; readonly scales: number } {
  const bits = { f32: 32, f16: 16, bf16: 16, u8: 8, u4: 4 }[format.codes]
  const codes = (inputs * bits) / 8
  if (!isQuantised(format)) return { codes, scales: 0 }
  const groups = inputs / format.group
  switch (format.scales.kind) {
    case 'half':
      return { codes, scales: 4 * Math.ceil(groups / 2) }
    case 'super':
      return { codes, scales: (20 * inputs) / 256 }
    default:
      return { codes, scales: 4 * groups }
  }
}
