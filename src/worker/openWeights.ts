/**
 * The weights of a model as a backend reads them: found in its files, and quantised on the way if that is asked for. It must never know
 * a backend.
 */

import type { ModelWeights } from '../backend/backend.ts'
import { modelWeights } from '../loader/modelWeights.ts'
import { quantisedWeights } from '../loader/quantisedWeights.ts'
import type { ModelFiles } from '../loader/source.ts'
import { bindGguf } from '../models/bindGguf.ts'
import { bindTensors } from '../models/bindTensors.ts'
import { parseQuantisation } from '../models/checkpointQuantisation.ts'
import type { ModelSpec } from '../models/modelSpec.ts'
import type { Quantization } from '../protocol/engineOptions.ts'
import { WeirError } from '../protocol/errors.ts'
import { formatName, isQuantised } from '../weights/format.ts'

/** @throws MODEL_FORMAT naming a tensor; INVALID_OPTION where a model that is quantised already is to be quantised */
export function openWeights(
  { config, metadata, checkpoint }: Pick<ModelFiles, 'config' | 'metadata' | 'checkpoint'>,
  spec: ModelSpec,
  quantization: Quantization,
): ModelWeights {
  const bound = metadata
    ? bindGguf(spec, metadata, checkpoint.tensors)
    : bindTensors(spec, parseQuantisation(config), checkpoint.tensors)
  const stored = modelWeights(bound, checkpoint)
  if (quantization !== 'int8' && quantization !== 'int4') return stored
  const quantised = stored.tensors.find(({ format }) => isQuantised(format))
  if (quantised) {
    const option = 'quantization'
    const format = formatName(quantised.format)
    const message =
      `quantization '${quantization}' needs a model in bf16, f16 or f32, and this one is quantised already ` +
      `(${quantised.name} is ${format}): leave quantization out`
    throw new WeirError('INVALID_OPTION', message, { option, value: quantization, format, tensor: quantised.name })
  }
  return quantisedWeights(stored, quantization)
}
